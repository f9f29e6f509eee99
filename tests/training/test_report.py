"""The report: right figures from whatever a run left behind, whole pages, nothing asked of the network."""

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiscale_transformer.errors import AxlError
from multiscale_transformer.training.report import duration, write_report

pytest.importorskip("matplotlib")

VOID = {"meta", "img"}
HELD_OUT = {"bits_per_byte": 1.234, "bytes": 1_402_118, "xz": 1.325, "ppmd": 1.261, "ppmd_primed": 1.169}
FACTS = {
    "name": "AXL-Micro",
    "parameters": 863_232,
    "optimizer": "muon",
    "minutes": 3,
    "seconds": 180.2,
    "steps": 446,
    "bytes": 3_653_632,
    "seed": 0,
    "window": 2048,
    "batch": 8192,
    "compute_dtype": "bfloat16",
    "data": {
        "sources": ["/usr/lib/python3.11"],
        "train_documents": 1702,
        "train_bytes": 26_812_331,
        "left_out": {"binary": 41},
        "sha256": "9f2c5d1e0b7a44c1",
    },
    "held_out": HELD_OUT,
    "versions": {"torch": "2.13.0"},
    "machine": {"cpu": "AMD EPYC", "cores": 2},
}
PNGS = ["loss.png", "speed.png", "learning_rate.png"]


def make_run(folder: Path, facts: dict[str, Any] | None = None, columns: str = "") -> Path:
    """A run folder with six rows over 180 seconds; without `facts`, one that has not ended."""
    folder.mkdir(parents=True)
    names = columns or "step,seconds,bytes,train_bpb,lr,bytes_per_second,held_out_bpb"
    values = [(i, 36 * i, 730_000 * i, 7 / i + 1, 1 - i / 6, 20_000 + i, 7 / i if i % 2 else "") for i in range(1, 6)]
    rows = [",".join(map(str, row[: names.count(",") + 1])) for row in values]
    (folder / "metrics.csv").write_text("\n".join([names, *rows]) + "\n")
    if facts is not None:
        (folder / "training.json").write_text(json.dumps(facts))
    return folder


class Page(HTMLParser):
    """Reads a page as a browser would; fails on tags that do not match, and notes words, ids and references."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: set[str] = set()
        self.raw = path.read_text(encoding="utf-8")
        self.feed(self.raw)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._note(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._note(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name == "alt":
                self.words.append(value or "")
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.references.append(value or "")

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What is written about one run that has everything."""
    folder = tmp_path_factory.mktemp("report")
    return write_report([make_run(folder / "run", FACTS)], folder / "out")


def test_one_run_gives_a_whole_page_and_pngs(report: list[Path]) -> None:
    assert [path.name for path in report] == ["report.html", *PNGS]
    assert sorted(report[0].parent.iterdir()) == sorted(report)
    html = Page(report[0])
    assert html.raw.count("<img") == len(PNGS)
    for said in (
        *("AXL-Micro", "1.234 bits per byte", "xz 1.325", "PPMd 1.261", "PPMd primed 1.169"),
        *("863,232", "3 min", "3,653,632", "20,275", "muon", "bfloat16", "1,402,118"),
        *("1,702", "26,812,331", "41 binary", "9f2c5d1e0b7a44c1", "AMD EPYC", "2.13.0"),
    ):
        assert said in html.text, said


def test_the_page_asks_nothing_of_the_network(report: list[Path]) -> None:
    html = Page(report[0])
    assert "http:" not in html.raw
    assert "https:" not in html.raw
    assert not html.tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert "@import" not in html.raw
    assert len(html.references) == len(PNGS)
    assert all(target.startswith("data:image/png;base64,") for target in html.references)
    assert "url(" not in html.raw
    assert "default-src 'none'" in html.raw


def test_pngs_are_pictures_with_something_on_them(report: list[Path]) -> None:
    from matplotlib.image import imread

    for path in report[1:]:
        pixels = imread(path)
        assert pixels.shape[1] > 1900
        assert pixels.shape[0] > 400
        assert pixels[..., :3].std() > 0.01


def test_the_same_run_gives_the_same_bytes(report: list[Path], tmp_path: Path) -> None:
    again = write_report([report[0].parent.parent / "run"], tmp_path)
    assert [path.read_bytes() for path in report] == [path.read_bytes() for path in again]


def test_a_run_that_has_not_ended_shows_its_curves(tmp_path: Path) -> None:
    html = Page(write_report([make_run(tmp_path / "AXL-Nano")], tmp_path / "out")[0])
    assert "AXL-Nano" in html.text
    assert "No held-out figure yet" in html.text
    assert "3,650,000" in html.text  # bytes of the last row
    assert html.raw.count("<img") == len(PNGS)


def test_a_chart_without_a_curve_is_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", columns="step,seconds,bytes,train_bpb")
    assert [path.name for path in write_report([run], tmp_path)] == ["report.html", "loss.png"]
    bare = make_run(tmp_path / "bare", columns="step")
    assert [path.name for path in write_report([bare], tmp_path)] == ["report.html"]


def test_runs_that_differ_only_in_seed_are_one_series_with_a_mean(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / f"{optimizer}{seed}", facts)
        for optimizer, bits in (("lion", 1.5), ("muon", 1.2))
        for seed in range(3)
        for facts in [
            {**FACTS, "optimizer": optimizer, "seed": seed, "held_out": {"bits_per_byte": bits + seed / 10, "bytes": 9}}
        ]
    ]
    html = Page(write_report([*runs, runs[0]], tmp_path)[0])
    assert "6 training runs" in html.text
    assert "AXL-Micro, muon is lowest: 1.300 bits per byte" in html.text
    assert "the mean of 3 runs from 1.200 to 1.400" in html.text
    assert "1.300 AXL-Micro, muon × 3" in html.text
    for run in runs:
        assert str(run) in html.text


def test_a_long_run_is_drawn_with_means_of_neighbours(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", FACTS)
    rows = [f"{i},{i},{1 + i % 2},{20_000}" for i in range(20_000)]  # a loss that jumps between 1 and 2
    (run / "metrics.csv").write_text("\n".join(["step,seconds,train_bpb,bytes_per_second", *rows]) + "\n")
    html = Page(write_report([run], tmp_path)[0])
    assert "1.500 AXL-Micro, training" in html.text


def test_figures_from_different_held_out_files_are_not_compared(tmp_path: Path) -> None:
    other = {**FACTS, "name": "AXL-Nano", "held_out": {**HELD_OUT, "bits_per_byte": 1.1, "xz": 1.7}}
    runs = [make_run(tmp_path / "a", FACTS), make_run(tmp_path / "b", other)]
    html = Page(write_report(runs, tmp_path)[0])
    assert "cannot be compared" in html.text
    assert "lowest" not in html.text
    assert "1.325 xz" not in html.text  # no level line, but both are in the table
    assert "1.325" in html.text
    assert "1.700" in html.text


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    name = 'a <script>alert("x")</script> & $\\frac{1}$ \x00 url(#id)'
    written = write_report([make_run(tmp_path / "run", {**FACTS, "name": name, "machine": {"<b>": "<i>"}})], tmp_path)
    html = Page(written[0])
    assert "script" not in html.tags
    assert "b" not in html.tags
    assert '<script>alert("x")</script> & $\\frac{1}$' in html.text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_any_training_json_is_a_page_or_one_line(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    def mangled(whole: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in whole.items() if data.draw(st.booleans())}
        return {key: data.draw(json_values) if data.draw(st.integers(0, 3)) == 0 else value for key, value in kept.items()}

    folder = tmp_path_factory.mktemp("runs")
    facts = {key: mangled(value) if isinstance(value, dict) else value for key, value in FACTS.items()}
    runs = [make_run(folder / "a", mangled(facts)), make_run(folder / "b", FACTS)]
    try:
        html = Page(write_report(runs, folder / "out")[0])
    except AxlError as error:
        said = str(error)
        assert "training.json" in said
        assert "\n" not in said
    else:
        assert "863,232" in html.text


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "is not a run"),
        ({"training.json": "{}"}, r"holds no metrics\.csv"),
        ({"metrics.csv": "step\n1\n", "training.json": "{"}, r"training\.json is damaged"),
        ({"metrics.csv": "step\n1\n", "training.json": "[]"}, "does not say what the run was trained on"),
        ({"metrics.csv": "step\n1,2\n"}, "line 2"),
    ],
)
def test_what_is_not_a_run_is_one_line_and_writes_nothing(tmp_path: Path, files: dict[str, str], message: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content)
    with pytest.raises(AxlError, match=message) as caught:
        write_report([make_run(tmp_path / "good", FACTS), folder], tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_no_run_and_no_matplotlib_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AxlError, match="no run to report on"):
        write_report([], tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(AxlError, match=r"pip install axl\[report\]"):
        write_report([make_run(tmp_path / "run", FACTS)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, ""), (0.4, "0 s"), (59.7, "1 min"), (200, "3 min 20 s"), (7200, "2 h"), (7500, "2 h 5 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said
