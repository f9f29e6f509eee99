"""AXL never reads what AXL wrote, wherever it lies, and reads what the user keeps beside it."""

import json
from pathlib import Path

from trees import function, listed, reasons, write

from multiscale_transformer.data.dropped import Dropped
from multiscale_transformer.data.sources import list_sources
from multiscale_transformer.memory.index import build_index
from multiscale_transformer.model.checkpoint import save_model
from tiny import model_of


def test_indexes_are_dropped(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.py": function(1), "app/manifest.json": '{"name": "app", "format": 1}'})
    build_index(root / "axl-index", [("x.py", b"x = 1\n")])
    assert listed(root) == ["a.py", "app/manifest.json"]
    assert {name: reason for name, reason in reasons(root).items() if reason == "written by AXL"}.keys() == {
        "axl-index/manifest.json",
        "axl-index/shard-0001",
    }
    (root / "axl-index/manifest.json").unlink()
    assert listed(root) == ["a.py", "app/manifest.json"], "what a killed update leaves"
    assert listed(f"{root}/**/*.json", f"{root}/**/*.py") == ["a.py", "app/manifest.json"]


def test_checkpoints_and_interrupted_runs_are_dropped(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.py": function(1), "config.json": '{"model_type": "llama"}', "training.json": "{}"})
    write(root, {"resume/000000001/cv.md": "mine", "resume/letter.md": "mine"})
    save_model(model_of(), root / "checkpoints" / "x")
    write(root, {"checkpoints/x/training.json": "{}", "checkpoints/x/README.md": "# card", "checkpoints/x/notes.md": "mine"})
    write(root, {"run/resume/000000001/progress.json": "{}", "run/resume/000000001/config.json": "{}"})
    kept = ["a.py", "checkpoints/x/notes.md", "config.json", "resume/000000001/cv.md", "resume/letter.md", "training.json"]
    assert listed(root) == kept
    assert listed(root / "checkpoints" / "x") == ["notes.md"]


def test_exports_and_reports_are_dropped(tmp_path: Path) -> None:
    from multiscale_transformer.export.hf import export_hf

    root = write(tmp_path, {"a.py": "1", "page.html": "<title>mine</title>"})
    save_model(model_of(), root / "run")
    export_hf(root / "run", root / "hub", "name")
    assert (root / "hub" / "modeling_axl.py").exists()
    assert listed(root) == ["a.py", "page.html"]


def test_a_report_is_dropped(tmp_path: Path) -> None:
    from multiscale_transformer.training.report import _page
    from multiscale_transformer.training.report.runs import Series

    write(
        tmp_path,
        {"a.py": "1", "report/report.html": _page([Series("one run", [])], {}), "mine/report.html": "<title>AXL</title>"},
    )
    assert listed(tmp_path) == ["a.py", "mine/report.html"]


def test_the_output_of_the_command_is_dropped(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.py": "1", "out/new.json": "{}", "out2/b.py": "2"})

    def names(path: Path | str, *without: Path) -> list[str]:
        return [file.name for file in list_sources([path], dropped=Dropped(), without=without)]

    assert names(root, root / "out") == ["a.py", "out2/b.py"]
    assert names(f"{root}/**", root / "out") == ["a.py", "out2/b.py"]
    assert names(root, root) == ["a.py", "out/new.json", "out2/b.py"], "it was named on purpose"
    assert names(root / "out", root / "out") == ["new.json"]


def test_a_config_that_is_a_bomb_is_no_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, {"config.json": "[" * 100_000, "manifest.json": json.dumps(list(range(10)))})
    assert listed(tmp_path) == ["config.json", "manifest.json"]
