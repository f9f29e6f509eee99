"""The training log: what is read back is what was logged, through resumes, kills, new columns and full disks."""

import csv
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiscale_transformer.errors import AxlError
from multiscale_transformer.published.training import viz
from multiscale_transformer.training.logger import TrainLogger, read_metrics

values = st.dictionaries(
    st.sampled_from(["loss", "lr", "bytes", "held_out_bpb"]), st.one_of(st.integers(-(2**53), 2**53), st.floats())
)


def table(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """What `read_metrics` must give for rows that are logged as steps 1, 2, ..."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [float(row.get(name, math.nan)) for row in rows] for name in names}
    return {"step": [float(step) for step in range(1, len(rows) + 1)], **columns}


def same(left: dict[str, list[float]], right: dict[str, list[float]]) -> bool:
    return list(left) == list(right) and repr(left) == repr(right)  # repr, because NaN is not equal to itself


@settings(deadline=None, max_examples=40)  # each example waits for the disk
@given(st.lists(values, max_size=8), st.data())
def test_reads_back_every_digit_through_any_reopening(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("log")
    cut = data.draw(st.integers(0, len(rows)))
    for part in (range(cut), range(cut, len(rows))):
        with TrainLogger(folder) as log:
            for index in part:
                log.log(index + 1, **rows[index])
                with (folder / "metrics.csv").open(newline="") as stream:  # valid after every row, while still open
                    assert len({len(row) for row in csv.reader(stream)}) == 1
    assert same(read_metrics(folder / "metrics.csv"), table(rows))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 12), st.integers(0, 12))
def test_resuming_leaves_no_step_twice(tmp_path_factory: pytest.TempPathFactory, reached: int, resume: int) -> None:
    folder = tmp_path_factory.mktemp("log")
    with TrainLogger(folder) as log:
        for step in range(1, reached + 1):
            log.log(step, loss=step)
    kept = min(reached, resume)
    with TrainLogger(folder, resume_step=resume) as log:
        log.log(kept + 1, loss=-1)
    metrics = read_metrics(folder / "metrics.csv")
    assert metrics["step"] == list(range(1, kept + 2))
    assert metrics["loss"][:-1] == metrics["step"][:-1]
    assert metrics["loss"][-1] == -1


def test_a_log_cut_at_any_byte_is_readable_and_continues(tmp_path: Path) -> None:
    with TrainLogger(tmp_path) as log:
        for step in range(1, 4):
            log.log(step, loss=step + 0.25, lr=0.5)
    path = tmp_path / "metrics.csv"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        kept = read_metrics(path).get("step", [])
        assert len(kept) == max(0, whole[:length].count(b"\n") - 1)
        with TrainLogger(tmp_path) as log:
            log.log(9, loss=9.5)
        assert read_metrics(path)["loss"] == [*[1.25, 2.25, 3.25][: len(kept)], 9.5]


def test_a_full_disk_is_one_clear_line_and_leaves_whole_rows(tmp_path: Path) -> None:
    class ShortWrites:
        """A file on a disk that has three bytes left."""

        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __getattr__(self, name: str) -> Any:
            return getattr(self._stream, name)

        def write(self, line: bytes) -> int:
            return int(self._stream.write(line[:3]))

    log = TrainLogger(tmp_path)
    log.log(1, loss=2.5)
    log._backend._stream = ShortWrites(log._backend._stream)  # type: ignore[assignment, union-attr]
    with pytest.raises(AxlError, match="disk is full"):
        log.log(2, loss=2.25)
    log.close()
    assert (tmp_path / "metrics.csv").read_text() == "step,loss\n1,2.5\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,age\nada,36\n", "not a metrics file"),
        ("step,loss\n1\n", "line 2: 1 cells under 2 columns"),
        (b"step\xff\n", "not text"),
    ],
)
def test_a_foreign_file_is_refused_and_left_alone(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "metrics.csv"
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(raw)
    with pytest.raises(AxlError, match=message) as caught:
        TrainLogger(tmp_path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == raw


def test_reading_what_is_no_table_of_numbers_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    with pytest.raises(AxlError, match="cannot read"):
        read_metrics(path)
    path.write_text("step,loss\n1,low\n")
    with pytest.raises(AxlError, match="'low' is not a number"):
        read_metrics(path)


def test_a_folder_that_cannot_be_made_fails_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AxlError, match="cannot write"):
        TrainLogger(tmp_path / "file" / "log")


def test_an_unknown_backend_lists_the_near_ones(tmp_path: Path) -> None:
    with pytest.raises(AxlError, match="did you mean tensorboard"):
        TrainLogger(tmp_path, backend="tensorbord")
    assert not list(tmp_path.iterdir())


def test_a_missing_tensorboard_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(AxlError, match=r"pip install axl\[tensorboard\]"):
        TrainLogger(tmp_path, backend="tensorboard")


def test_tensorboard_reads_back_a_resumed_run_without_double_steps(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with viz.TrainLogger(tmp_path, backend="tensorboard") as log:
        for step in range(1, 6):
            log.log(step, loss=step)
    with viz.TrainLogger(tmp_path, backend="tensorboard", resume_step=3) as log:
        log.log(4, loss=-1)
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 1), (2, 2), (3, 3), (4, -1)]
