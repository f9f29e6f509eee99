"""`axl data make`, `axl train NAME` with its skill, `axl eval task` and `axl zoo`: from packages to a table."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from calling import QUICK, call

from held import needs_sandbox
from multiscale_transformer.cli import zoo
from multiscale_transformer.cli.zoo_measure import MEASURED_FILE, ZooModel, read_measured
from multiscale_transformer.files import write_json
from multiscale_transformer.locks import ENDING
from multiscale_transformer.model.folder import TRAINING_FILE
from multiscale_transformer.tasks.package_texts import PackageText

NAMES = ("networkx", "hypothesis", *(f"package{n}" for n in range(40)))


def code(seed: int) -> str:
    """A function like no other: its names are drawn."""
    rng = random.Random(seed)
    a, b, c, d, e, f = ("".join(rng.choices("abcdefghijklmnoprstuvw", k=7)) for _ in range(6))
    return (
        f'def {a}_{b}({c}, {d}={seed}):\n    """{e.title()} the {f} of {c}."""\n    {e} = {f}({c})\n'
        f"    # the {c} comes before the {d}\n    if {e} > {d}:\n        raise ValueError({f}.{b})\n"
        f"    else:\n        return {e}.{a}({d})\n"
    )


@pytest.fixture
def packages(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, and packages that are all there are."""
    texts = [
        PackageText(name, "MIT", f"{name}.py", "\n\n".join(map(code, range(9 * n, 9 * n + 9)))) for n, name in enumerate(NAMES)
    ]
    monkeypatch.setattr("multiscale_transformer.tasks.package_texts.package_texts", lambda **options: iter(texts))
    return work


def test_data_is_made_once_and_split_by_package(packages: Path) -> None:
    made = call("data", "make", "chat", "refactor")
    assert made.status == 0
    assert {path.parent.name for path in Path("data").glob("*/manifest.json")} == {"chat", "refactor"}
    rows = [json.loads(line) for line in Path("data/chat/test.jsonl").read_text().splitlines()]
    assert {row["package"] for row in rows} <= {"networkx", "hypothesis"}
    assert "made already" in call("data", "make", "chat").out
    assert call("data", "make", "chat", "--again").status == 0


def test_what_is_refused(refused: Callable[..., str]) -> None:
    assert "unknown skill" in refused("data", "make", "nothing")
    assert "name skills" in refused("data", "make")
    assert "axl data make chat" in refused("eval", "task", "chat")
    assert "unknown skill" in refused("eval", "task", "nothing")
    assert "no model is trained" in refused("zoo", "eval")
    assert "nothing is measured" in refused("zoo", "table")
    assert "--size auto" in refused("train", "--size", "auto")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("make vision refactr --libraries css", "unknown skill 'refactr'"),
        ("make chat --libraries css", "--pages and --seed go with vision"),
        ("make chat --html pages", "--pages and --seed go with vision"),
        ("make --all --pages 9", "--pages and --seed go with vision"),
        ("make chat --seed 1", "--pages and --seed go with vision"),
        ("make vision --libraries css --again", "--mbpp and --again go with chat"),
        ("make vision --libraries css --benchmarks known", "--mbpp and --again go with chat"),
        ("make vision-windows --packages more", "--mbpp and --again go with chat"),
        ("make vision-windows --mbpp mbpp.jsonl", "--mbpp and --again go with chat"),
        ("download flask --licence MIT", "--licence goes with --hub"),
        ("download --git https://example.org/x --find-links wheels", "--find-links with packages"),
    ],
)
def test_data_is_neither_made_nor_fetched_where_an_option_would_do_nothing(
    refused: Callable[..., str], words: str, said: str
) -> None:
    assert said in refused("data", *words.split())


def test_words_that_are_no_command_of_data_are_paths(packages: Path) -> None:
    Path("make").mkdir()
    for number in range(3):
        Path(f"make/{number}.py").write_text(code(number))
    assert "to train on" in call("data", "./make").out
    assert "to train on" in call("data", "show", "./make").out


@pytest.mark.slow
@needs_sandbox
def test_from_a_name_to_the_table(packages: Path) -> None:
    trained = call("zoo", "train", "AXL-Comment-Lion", "--minutes", QUICK[1], "--threads", "1")
    assert trained.status == 0, trained.err
    out = Path("checkpoints/zoo/axl-comment-lion-auto")
    assert json.loads((out / "training.json").read_text())["data"]["sources"][0].endswith("data/comment")
    assert "trained already" in call("zoo", "train", "AXL-Comment-Lion").out
    record = json.loads((out / "training.json").read_text())
    (out / "training.json").write_text(json.dumps({**record, "held_out": None}))  # as after a kill while it was measured
    assert "trained already" not in call("zoo", "train", "AXL-Comment-Lion").out
    assert json.loads((out / "training.json").read_text())["held_out"] == record["held_out"]
    other = call("zoo", "train", "AXL-Comment-Lion", "--seed", "1")
    assert (other.status, "was begun with seed 0; seed 1 needs a folder of its own" in other.err) == (2, True)
    shown = call("zoo", "eval", "AXL-Comment-Lion", "--most", "2")
    assert shown.status == 0, shown.err
    rows = json.loads(Path("checkpoints/zoo/zoo.json").read_text())
    assert rows[out.name]["figures"]
    assert rows[out.name]["bytes_per_second"] > 0
    assert "measured already" in call("zoo", "eval", "AXL-Comment-Lion").out
    assert out.name in call("zoo", "table").out


def test_two_evaluations_at_once_lose_no_row(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def row(name: str) -> ZooModel:
        names = ("parameters", "bytes_read", "minutes", "bits_per_byte", "bytes_per_second", "ram_bytes")
        return ZooModel(name=name, skill="", sha256="", **dict.fromkeys(names, 1))

    def measured(recipe: object, folder: Path, *_: object, **__: object) -> ZooModel:
        write_json(work / MEASURED_FILE, {"other": row("other").model_dump()})  # by another terminal, meanwhile
        return row(folder.name)

    def written(path: Path, content: object) -> None:
        assert (work / f".{MEASURED_FILE}{ENDING}").exists(), "the lock is held"
        write_json(path, content)

    (work / "axl-micro-lion").mkdir()
    (work / "axl-micro-lion" / TRAINING_FILE).write_text("{}")
    monkeypatch.setattr(zoo, "zoo_model", measured)
    monkeypatch.setattr(zoo, "write_json", written)
    zoo.evaluate(["AXL-Micro-Lion"], size="published", root=work)
    assert set(read_measured(work)) == {"other", "axl-micro-lion"}


HELD = """
import subprocess, sys
held = bytearray(b"x") * 600_000_000  # what a parent holds is not the child's
print(subprocess.run([sys.executable, "-c", sys.argv[1]], capture_output=True, text=True, check=True).stdout)
"""
PEAK = "from multiscale_transformer.cli.zoo_measure import peak_bytes; used = bytearray(b'x') * 50_000_000; print(peak_bytes())"


def test_the_ram_of_a_process_is_its_own() -> None:
    def peak(*words: str) -> int:
        return int(subprocess.run([sys.executable, "-c", *words], capture_output=True, text=True, check=True).stdout)

    alone = peak(PEAK)
    assert alone > 50_000_000
    assert peak(HELD, PEAK) < alone + 100_000_000
