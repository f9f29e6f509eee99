"""The command from end to end on a corpus of a few files: what it writes, and what it says when it is used as it should be."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from calling import QUICK, Trained, call
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import multiscale_transformer
from multiscale_transformer.cli import training_ui, ui
from multiscale_transformer.data import sources
from multiscale_transformer.engine import scheduler as batching
from multiscale_transformer.model.vocabulary import BOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX
from multiscale_transformer.training.resume import has_resume
from multiscale_transformer.training.trainer import Trainer
from multiscale_transformer.zoo.training_record import read_training


def test_train_says_what_it_reads_and_trains_and_how_good_the_result_is(trained: Trained, project: Path) -> None:
    answer, facts = trained.answer, json.loads((trained.folder / "training.json").read_text())
    assert answer.status == 0, answer
    assert re.search(r"^Data +7 files \(\d+ KB\) to train on, 1 file \(\d+ KB\) held out$", answer.out, re.MULTILINE)
    assert re.search(r"^Model +tiny: 0\.0\d M parameters, width 16, 1/1/1 layers at scales 1/2/4", answer.out, re.MULTILINE)
    assert re.search(r"^Training +0\.01 minutes with muon on 1 thread, seed 0$", answer.out, re.MULTILINE)
    for key, label in (("bits_per_byte", "tiny"), ("xz", "xz -9e"), ("ppmd", "PPMd, order 8")):
        assert re.search(rf"^  {label} +{facts['held_out'][key]:.3f} ", answer.out, re.MULTILINE)
    figures = [float(figure) for figure in re.findall(r"^  .* (\d\.\d{3}) ", answer.out, re.MULTILINE)]
    assert figures == sorted(figures)
    assert len(figures) == 3
    assert answer.out.endswith(f"axl report {trained.folder}\n")
    assert f'  axl complete "def fibonacci(n):" --model {trained.folder}\n' in answer.out
    assert facts["data"]["sources"] == [str(project)]


def test_a_checkpoint_folder_is_complete(trained: Trained, project: Path) -> None:
    assert {path.name for path in trained.folder.iterdir()} == {
        "README.md",
        "config.json",
        "memory",
        "metrics.csv",
        "model.safetensors",
        "training.json",
    }
    card = (trained.folder / "README.md").read_text()
    assert project.name in card
    assert str(project.parent) not in card  # the card is made to be handed on


def test_progress_where_no_bar_can_live_is_a_few_lines_on_standard_error(trained: Trained) -> None:
    lines = trained.answer.err.splitlines()
    assert 1 <= len(lines) <= 10
    assert all(re.fullmatch(r"training +\d+%  \d+\.\d{3} bits/byte  .* KB/s  .* read  0:0\d left", line) for line in lines)
    assert lines[-1].startswith("training 100%")


def test_eval_gives_the_figure_of_the_run_again(trained: Trained) -> None:
    facts = json.loads((trained.folder / "training.json").read_text())
    answer = call("eval", "bpb", "--model", trained.folder, "--threads", "1", "--json", "--baselines")
    figures = json.loads(answer.out)
    assert figures["bits_per_byte"] == pytest.approx(facts["held_out"]["bits_per_byte"], rel=1e-3)
    assert figures["bytes"] == facts["held_out"]["bytes"]
    assert {"xz", "ppmd", "ppmd_primed"} < figures.keys()
    shown = call("eval", "bpb", "--model", trained.folder, "--threads", "1", "--baselines").out
    assert f"{figures['bits_per_byte']:.3f} bits per byte on " in shown
    assert re.search(rf"^  PPMd primed with the training files +{figures['ppmd_primed']:.3f} ", shown, re.MULTILINE)


def test_eval_of_other_text_needs_no_data_of_the_run(trained: Trained, work: Path) -> None:
    (work / "a.py").write_text("x = 1\n" * 30)
    answer = call("eval", "bpb", "--model", trained.folder, "--data", "a.py", "--context", "32", "--json", "--threads", "1")
    assert json.loads(answer.out) | {"bits_per_byte": 0} == {
        "bits_per_byte": 0,
        "bytes": 180,
        "documents": 1,
        "data": "of a.py",
        "context": 32,
    }


def test_complete_writes_the_prompt_and_what_follows_it(trained: Trained) -> None:
    words = (
        "complete",
        "def f(x):\n\treturn",
        "--model",
        trained.folder,
        "--seed",
        "1",
        "--max-tokens",
        "20",
        "--threads",
        "1",
    )
    answer = call(*words)
    assert answer.status == 0, answer
    assert answer.err == ""
    assert answer.out.startswith("def f(x):\n\treturn")
    assert answer.out.endswith("\n")
    assert len(answer.out) > len("def f(x):\n\treturn")
    assert "\x1b" not in answer.out
    assert call(*words) == answer


def test_complete_fills_a_gap(trained: Trained) -> None:
    options = ("--model", trained.folder, "--seed", "1", "--max-tokens", "5", "--threads", "1")
    answer = call("complete", "def f(", "--suffix", "): :smile: [bold]\n", *options)
    assert answer.out.startswith("def f(")
    assert answer.out.endswith("): :smile: [bold]\n")
    nothing = call("complete", "def f(", "--suffix", "", *options[:4], "--max-tokens", "0")
    assert nothing.out == "def f(\n"
    alone = call("complete", "def f(", "--suffix", "): :smile: [bold]\n", "--only", *options)
    assert "def f(" + alone.out + "): :smile: [bold]\n" == answer.out


def test_a_gap_ends_where_an_editor_would_want_it_unless_told_otherwise(trained: Trained) -> None:
    place = ("complete", "def f(", "--suffix", "):\n", "--only", "--max-tokens", "200")
    how = ("--model", trained.folder, "--temperature", "1", "--candidates", "1", "--threads", "1")
    lines, pieces = [], []
    for seed in range(8):  # a draw may end by itself before its first line does
        lines.append(call(*place, *how, "--seed", str(seed)).out)
        pieces.append(call(*place, *how, "--seed", str(seed), "--no-stop-rules").out)
    assert not any("\n" in line for line in lines)
    assert any("\n" in piece for piece in pieces)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@example(before="a" * 300, after="c" * 300)
@example(before="a" * 300, after="c" * 7)
@example(before="a" * 7, after="c" * 300)
@given(before=st.text("ab\n", max_size=300), after=st.text("cd\n", max_size=300).filter(str.strip))
def test_a_text_longer_than_the_context_keeps_its_marks_and_what_is_nearest_to_the_gap(
    trained: Trained, before: str, after: str
) -> None:
    asked: list[list[int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching.Scheduler, "stream", lambda batcher, request: asked.append(request.prompt) or iter(()))
        call("complete", "--model", trained.folder, "--suffix", after, "--threads", "1", "--", before)
    (ids,) = asked
    assert len(ids) <= 112  # an eighth of the context is left to write in
    assert ids[:3] == [BOS, FIM_PREFIX, FIM_SUFFIX]
    suffix, prefix = bytes(ids[3:]).split(bytes([FIM_MIDDLE]))
    assert before.encode().endswith(prefix)
    assert after.encode().startswith(suffix)
    if len(before) + len(after) > 108:
        assert 96 - 8 < len(ids) <= 96  # when it has to be cut, a quarter; a prefix begins at a multiple of 8 then
        assert len(suffix) >= min(len(after), 30)


@pytest.mark.parametrize("suffix", [(), ("--suffix", "b" * 500)])
def test_a_text_longer_than_the_context_is_cut_and_said(trained: Trained, suffix: tuple[str, ...]) -> None:
    answer = call("complete", "a" * 500, *suffix, "--model", trained.folder, "--max-tokens", "3", "--threads", "1")
    assert answer.status == 0, answer
    read = 90 if suffix else 127  # with a gap a quarter of the context is left to write in, and a prefix begins at a step
    assert answer.err.startswith(f"note: the text is {500 * (1 + bool(suffix)):,} bytes; the model reads the {read} nearest")
    assert answer.out.startswith("a" * 500)


def test_report_writes_a_page(trained: Trained, work: Path) -> None:
    pytest.importorskip("matplotlib")
    answer = call("report", trained.folder, "--out", "page")
    assert answer.status == 0, answer
    assert "page/report.html" in answer.out.splitlines()
    assert "bits per byte" in (work / "page" / "report.html").read_text().lower()


def test_resume_measures_a_run_that_only_lacks_its_figure(
    project: Path, config: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training_ui, "measure_run", interrupt)
        answer = call("train", "--config", config, "--data", project, "--out", "run", *QUICK)
    assert answer.status == 130
    assert answer.err.splitlines()[-1] == "  axl train --resume --out run"
    assert "held_out" not in json.loads((work / "run" / "training.json").read_text())
    assert call("train", "--resume", "--out", "run", "--threads", "1").status == 0
    assert "held_out" in json.loads((work / "run" / "training.json").read_text())
    assert (work / "run" / "README.md").exists()


def test_an_interrupted_run_goes_on_where_it_stood(
    project: Path, config: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, words = Trainer.step, ("train", "--config", config, "--data", project, *QUICK)
    assert call(*words).status == 0  # a finished one beside it

    def step_and_interrupt(trainer: Trainer) -> None:
        step(trainer)
        if trainer.progress.step == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", step_and_interrupt)
        answer = call(*words)
    assert answer.status == 130
    assert answer.err.splitlines()[-2:] == [
        "Interrupted; the run is saved. To go on:",
        "  axl train --resume --out checkpoints/tiny-2",
    ]
    again = call("train", "--resume", "--threads", "1")  # there is only one to resume
    assert again.status == 0, again
    assert json.loads((work / "checkpoints" / "tiny-2" / "training.json").read_text())["steps"] > 1
    assert not has_resume(work / "checkpoints" / "tiny-2")


def test_a_device_that_is_not_there_is_refused_before_anything_is_read(
    project: Path, config: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    answer = call("train", "--config", config, "--data", "nowhere", "--device", "cuda", *QUICK)
    assert (answer.status, answer.err) == (2, "axl: no cuda device is here for this PyTorch; --device takes auto, cpu\n")
    assert call("train", "--config", config, "--data", project, "--device", "cpu", *QUICK).status == 0
    assert json.loads((work / "checkpoints" / "tiny" / "training.json").read_text())["machine"]["device"] == "cpu"


def test_a_resumed_run_may_name_another_device(
    project: Path, config: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupt)
        assert call("train", "--config", config, "--data", project, "--out", "run", *QUICK).status == 130
    asked = call("train", "--resume", "--out", "run", "--device", "cuda")
    assert (asked.status, asked.err.count("\n")) == (2, 1)
    (point,) = (work / "run" / "resume").glob("*/progress.json")
    facts = json.loads(point.read_text())
    assert facts["request"]["device"] == "auto"
    facts["request"]["device"] = "cuda"  # as a run says that was begun elsewhere
    point.write_text(json.dumps(facts))
    assert "no cuda device" in call("train", "--resume", "--out", "run").err
    assert call("train", "--resume", "--out", "run", "--device", "cpu").status == 0


def test_a_second_run_takes_a_folder_of_its_own(config: Path, project: Path, work: Path) -> None:
    for _ in range(2):
        assert call("train", "--config", config, "--data", project, *QUICK).status == 0
    assert {path.name for path in (work / "checkpoints").iterdir()} == {"tiny", "tiny-2"}


def test_a_run_can_be_measured_from_any_folder(
    config: Path, project: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.parent)
    monkeypatch.setattr(training_ui, "FEW_STEPS", 1_000_000)
    answer = call("train", "--config", config, "--data", project.name, "--out", work / "run", *QUICK)
    assert "note: that is little; axl suggest proposes a size" in answer.out
    monkeypatch.chdir(work)
    assert call("eval", "bpb", "--model", "run", "--threads", "1").status == 0


def test_quickstart_tells_one_story_and_says_once_what_to_type_next(
    project: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "sysconfig", SimpleNamespace(get_paths=lambda: {"stdlib": str(project)}))
    answer = call("quickstart", *QUICK)
    assert answer.status == 0, answer
    story = (
        "From nothing to a code model|\nData|\nModel|\nTraining|\nTrained|\nBits per byte|\nIt writes|def read_lines(path):|"
        "\nCheckpoint|\nNext:|axl complete|axl train --data"
    )
    places = [answer.out.index(part) for part in story.split("|")]
    assert places == sorted(places)
    assert answer.out.count("Next:") == answer.out.count("Checkpoint") == 1
    assert "from `library of Python 3." in (work / "checkpoints" / "quickstart" / "README.md").read_text()


def test_quickstart_measures_on_a_part_of_what_it_holds_out_and_says_how_much(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = str(Path(json.__file__).parent.parent / "encodings")
    monkeypatch.setattr(sources, "sysconfig", SimpleNamespace(get_paths=lambda: {"stdlib": library}))
    monkeypatch.setattr("multiscale_transformer.cli.quickstart.MEASURED_BYTES", 1)
    assert call("quickstart", *QUICK).status == 0
    record = read_training(work / "checkpoints" / "quickstart")
    assert record.held_out is not None
    assert record.data.held_out_documents > 1
    assert 0 < record.held_out.bytes < record.data.held_out_bytes


def test_suggest_models_and_data_answer(project: Path, work: Path) -> None:
    suggested = call("suggest", "--minutes", "5", "--threads", "1").out
    assert suggested.count("best for this time") == 1
    assert suggested.splitlines()[-1] == "  axl train --minutes 5"
    listed = call("models").out
    assert "AXL-Micro-Lion" in listed
    assert "AXL-Vision-v2" in listed
    assert len(listed.splitlines()) == 30
    data = call("data", project).out
    assert re.search(r"largest held out: f\d.py \(\d+ KB\)$", data, re.MULTILINE)


def test_version_and_help(monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("--version").out == f"axl {multiscale_transformer.__version__}\n"
    for words in ([], ["train"], ["complete"], ["suggest"], ["models"], ["data"], ["report"], ["quickstart"], ["eval", "bpb"]):
        answer = call(*words, "--help")
        assert answer.status == 0
        assert "Usage: axl" in answer.out
    assert "$ axl train --data ~/my_project --minutes 10" in call("train", "--help").out


def test_help_and_refusals_do_not_wait_for_torch() -> None:
    code = "import sys, multiscale_transformer.cli.main as m; m.main(['train', '--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_commands_to_type_next_are_those_of_the_shell_it_was_started_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "bin" / "axl"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setenv("PATH", "/nowhere")
    assert ui.command("report", "a b", 'x"y') == f'{script} report "a b" \'x"y\''
    monkeypatch.setenv("PATH", str(script.parent))
    assert ui.command("report", Path("c/d")) == "axl report c/d"


def test_numbers_as_people_read_them() -> None:
    assert [ui.size(count) for count in (7, 1_234, 5_678_901, 2e9)] == ["7 bytes", "1 KB", "5.7 MB", "2.0 GB"]
    assert [ui.counted(count, "file") for count in (0, 1, 1234)] == ["0 files", "1 file", "1,234 files"]
    assert [ui.counted(minutes, "minute") for minutes in (0.5, 1.0, 3.0)] == ["0.5 minutes", "1 minute", "3 minutes"]
    assert [ui.millions(count) for count in (566_464, 12_716_306, 318e6)] == ["0.57 M", "12.72 M", "318 M"]
