"""Tables of what the engine and the shipped model were measured at, for the documents (see `tables`)."""

from __future__ import annotations

import re
from typing import Any

COLUMNS = ("1 at once", "4 at once", "16 at once", "prefill")


def decoding(content: dict[str, Any]) -> str:
    """Bytes per second by contender, and ratios to the best of llama.cpp in Q4_K_M."""
    rates: dict[str, float] = content["bytes_per_second"]
    names = dict.fromkeys(name.rsplit(", ", 1)[0] for name in rates)
    lines = ["| bytes per second | " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for name in names:
        cells = (f"{rates[key]:,.0f}" if (key := f"{name}, {column}") in rates else "" for column in COLUMNS)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n\n"
    peer = max((rate for name, rate in rates.items() if re.match(r"llama.cpp Q4_K_M.*1 at once", name)), default=0.0)
    ours, eager = _best(rates, "axl", "1 at once"), _best(rates, "PyTorch", "1 at once")
    if peer:
        text += f"One request: **{ours / peer:.1f} times** llama.cpp Q4_K_M, each at its best number of threads"
        text += f"; {ours / eager:.0f} times PyTorch eager" if eager else ""
        text += f"; 16 requests together write {_best(rates, 'axl', '16 at once') / ours:.1f} times as much as one.\n"
    if "trained" in content:
        text += _trained(content["trained"], peer)
    return text + f"\n{content['model']}, {content['parameters']:,} parameters, medians of {content['rounds']} rounds.\n"


def _trained(figures: dict[str, Any], peer: float) -> str:
    drafting, rounding = figures["drafting"], figures["rounding"]
    warm = figures["first_byte"]["warm"] / figures["first_byte"]["cold"]
    resident = figures["resident"]["4 bits"]
    share = f" ({drafting['with drafts'] / peer:.1f} times llama.cpp Q4_K_M)" if peer else ""
    faster, rounded = (
        drafting["with drafts"] / drafting["without"],
        {name: rounding[name] - rounding["fp32"] for name in ("8 bits", "4 bits")},
    )
    return (
        f"\nWith drafts from its memory a trained one writes {faster:.1f} times as fast on held-out code{share}, "
        f"{drafting['bytes_per_step']:.0f} bytes a step. Rounding costs {rounded['8 bits']:+.4f} bits per byte with 8 bits and "
        f"{rounded['4 bits']:+.4f} with 4 (on {rounding['bytes']:,} held-out bytes). The first byte after a prompt that was "
        f"read before takes {warm:.3f} of the time of a new one. A process that serves it in 4 bits holds "
        f"{resident['resident_bytes'] / 1e6:.0f} MB, {resident['imports_bytes'] / 1e6:.0f} of them imports; "
        f"`axl complete` takes {figures['start_seconds']:.1f} s from start to end for one byte.\n"
    )


def _best(rates: dict[str, float], name: str, column: str) -> float:
    return max((rate for key, rate in rates.items() if key.startswith(name) and key.endswith(column)), default=0.0)


def shipped(content: dict[str, Any]) -> str:
    """The shipped model on the library's held-out files and on a project that it has never seen."""
    library, peers = content["library"], content["library"]["peers"]
    rows = [
        ("with an index of the library's training files", library["library"]["with"]),
        ("the same weights without", library["library"]["without"]),
    ]
    lines = ["| | held-out bits per byte | of PPMd primed | next line exact | next line similar |", "|---|---:|---:|---:|---:|"]
    for name, row in rows:
        bits = row["bits_per_byte"]
        lines.append(
            f"| {name} | {bits:.3f} | {bits / peers['ppmd_primed']:.2f} | {row['lines_exact']:.1%} | "
            f"{row['lines_similarity']:.1%} |"
        )
    names = {"ppmd": "PPMd, order 8", "ppmd_primed": "PPMd primed with the training files"}
    lines += [f"| {label} | {peers[key]:.3f} | {peers[key] / peers['ppmd_primed']:.2f} | | |" for key, label in names.items()]
    text = "\n".join(lines) + f"\n\n{library['held_out_bytes']:,} held-out bytes.\n"
    return text + _unseen(library) + _swap(content["swap"])


def _unseen(library: dict[str, Any]) -> str:
    packages = list(library["unseen"])
    lines = ["", "| a package that no training and no index has seen | " + " | ".join(packages) + " |"]
    lines.append("|---|" + "---:|" * len(packages))
    for key, label in (("alone", "each file by itself"), ("in_order", "each file after those before it are indexed")):
        lines.append(f"| {label} | " + " | ".join(f"{library['unseen'][name][key]:.3f}" for name in packages) + " |")
    for key, label in (("ppmd_apart", "PPMd, each file by itself"), ("ppmd", "PPMd, the package as one stream")):
        lines.append(f"| {label} | " + " | ".join(f"{library['unseen_peers'][name][key]:.3f}" for name in packages) + " |")
    return "\n".join(lines) + "\n"


def _swap(swap: dict[str, Any]) -> str:
    lines = ["", f"| on held-out files of {swap['project']} | bits per byte |", "|---|---:|"]
    lines += [f"| shipped weights, {name} | {bits:.3f} |" for name, bits in swap["weights"].items()]
    for row in swap["trained"]:
        minutes = f"{row['minutes']:g} minutes on the project alone"
        lines.append(f"| {row['name']}, {minutes}, seed {row['seed']} | {row['bits_per_byte']:.3f} |")
    lines.append(f"| PPMd primed with the project's other files | {swap['peers']['ppmd_primed']:.3f} |")
    return "\n".join(lines) + f"\n\n{swap['train_bytes']:,} bytes to index or train on, {swap['held_out_bytes']:,} held out.\n"


def serving(content: dict[str, Any]) -> str:
    """Throughput through HTTP, and what became of the soak's requests."""
    figures, soak = content["serving"], content.get("soak")
    text = (
        f"{figures['clients']} clients get **{figures['share_streamed']:.0%}** of the engine's own bytes per second as streams "
        f"and {figures['share_whole']:.0%} as whole answers (medians of ratios, {figures['rounds']} rounds).\n"
    )
    if not soak:
        return text
    first, lost = soak["first_byte_seconds"], sum(n for name, n in soak["outcomes"].items() if "LOST" in name or "CUT" in name)
    lines = [f"| {name} | {count:,} |" for name, count in sorted(soak["outcomes"].items())]
    return (
        f"{text}\n{soak['clients']} clients for {soak['minutes']:g} minutes: {soak['requests']:,} requests, {lost} without an "
        f"answer; resident memory of the second half {soak['resident_growth']:+.1%} of the first; first byte after "
        f"{first['p50']:.2f} s (median), {first['p99']:.1f} s (99 %), while a seventh of the requests are prompts of a "
        "megabyte.\n\n" + "\n".join(["| what became of them | |", "|---|---:|", *lines]) + "\n"
    )
