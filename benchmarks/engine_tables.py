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
    if "first_byte" in content:
        waited = content["first_byte"]
        times = waited["cold"] / waited["warm"]
        text += (
            f"The first byte after {waited['bytes']:,} bytes that were read before takes 1/{times:.0f} of that of new ones.\n"
        )
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


def exported(content: dict[str, Any]) -> str:
    """What exported files keep of a trained model, and what every size of the zoo comes to in Q4_K_M."""
    figures, bits = content["exported"], content["exported"]["bits_per_byte"]
    whole = bits["whole"]
    lines = ["| held-out text | bits per byte | of the whole model | bits a weight |", "|---|---:|---:|---:|"]

    def row(label: str, found: float, kind: str = "") -> str:
        weight = f"{figures['kinds'][kind]['bits_per_weight']:.2f} " if kind else ""
        return f"| {label} | {found:.3f} | {found / whole - 1:+.1%} | {weight}|"

    if "whole, with memory" in bits:
        lines.append(row("the whole model and its memory, in AXL", bits["whole, with memory"]))
    lines.append(row("the whole model alone, in AXL", whole))
    lines += [row(f"{kind} in llama.cpp", bits[kind], kind) for kind in figures["kinds"]]
    student = figures.get("distilled", {})
    for kind in filter(student.__contains__, figures["kinds"]):
        lines.append(row(f"{kind} in llama.cpp, distilled for {student['minutes']:g} minutes", student[kind], kind))
    text = "\n".join(lines) + "\n\n"
    text += (
        f"F16 in llama.cpp against the fine stack's exit in AXL: {bits['F16'] / figures['exit'] - 1:+.2%} bits per byte, "
        f"largest relative error of a logit {figures['largest_error']:.1e}, the same greedy 200 bytes for "
        f"{figures['same_greedy']:.0%} of 20 prompts. Q4_K_M over F16: {bits['Q4_K_M'] / bits['F16'] - 1:+.1%}. "
        f"{content['model']:,} parameters, {figures['bytes']:,} held-out bytes.\n\n"
    )
    head = ["| in Q4_K_M | d_model | weights in the file | bits a weight | fell back |", "|---|---:|---:|---:|---:|"]
    sizes = [
        f"| {name} | {one['d_model']} | {one['weights']:,} | {one['bits_per_weight']:.2f} | {one['fallbacks']} |"
        for name, one in content["sizes"].items()
    ]
    return text + "\n".join(head + sizes) + "\n"


def growth(content: dict[str, Any]) -> str:
    """What building an index and looking up in it take as the text grows."""
    rows = content["growth"]
    head = "| text, MB | seconds to build | of a linear growth | bytes on disk a byte | µs a look-up in a batch |"
    lines, first = [head, "|---:|---:|---:|---:|---:|"], rows[0]["index_seconds"] / rows[0]["corpus_bytes"]
    for row in rows:
        each, disk = row["index_seconds"] / row["corpus_bytes"], row["index_bytes"] / row["corpus_bytes"]
        cells = f"{row['index_seconds']:,.1f} | {each / first:.2f} | {disk:.2f} | {row['batch_microseconds']:.1f} |"
        lines.append(f"| {row['corpus_bytes'] / 1e6:,.0f} | {cells}")
    return "\n".join(lines) + "\n"


def busy(content: dict[str, Any]) -> str:
    """What is left beside busy programs."""
    figures, core = content["busy"], content["one_core"]
    lines = [
        "| beside other work, over the quiet machine | one busy program | one on each core |",
        "|---|---:|---:|",
        f"| training, bytes a second | {figures['training_one']:.2f} | {figures['training_each']:.2f} |",
        f"| evaluation, time | {1 / figures['evaluation_one']:.2f} × | {1 / figures['evaluation_each']:.2f} × |",
        "",
        f"On one free core, {content['threads']} threads take {core['prefill']:.2f} times as long as one to read a prompt, and "
        f"{core['decoding']:.2f} times as long to write. {content['threads']} threads on {content['cores']} cores; medians of "
        f"{len(content['rounds']['training_one'])} rounds.",
    ]
    return "\n".join(lines) + "\n"
