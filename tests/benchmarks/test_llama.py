"""llama.cpp as a peer: it does what was asked, says what it took, and ends with its block."""

import os
import subprocess
import sys
import time

import pytest

from benchmarks import llama
from benchmarks.llama import LlamaPeer, llama_process
from benchmarks.llama_file import LlamaShape, write_byte_llama
from multiscale_transformer.errors import AxlError
from multiscale_transformer.export.gguf_file import quantize_file

pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")

CONTEXT = 256


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    write_byte_llama(folder / "f16.gguf", LlamaShape(d_model=256, n_layers=2, n_heads=4, d_ff=768, context=CONTEXT), seed=0)
    quantize_file(folder / "f16.gguf", folder / "q4.gguf", "Q4_K_M")
    return folder / "q4.gguf"


@pytest.fixture(scope="module")
def process(model):
    with llama_process(model, threads=1, slots=2, context=CONTEXT) as peer:
        yield peer


class FakeServer:
    """Answers with what it was asked for, `less` bytes fewer, and counts; `timings` as given."""

    def __init__(self, timings=None, cached=0, less=0):
        self.timings, self.cached, self.less, self.asked = timings, cached, less, []

    def handle_completions(self, body):
        prompt, count = len(body["prompt"]), body["max_tokens"]
        self.asked.append((prompt, count))
        time.sleep(0.001 * count)
        usage = {"prompt_tokens": prompt, "completion_tokens": count - self.less}
        usage["prompt_tokens_details"] = {"cached_tokens": self.cached}
        return {"usage": usage} | ({"timings": self.timings} if self.timings else {})


@pytest.fixture
def fake(model, monkeypatch):
    def make(**answers):
        peer = LlamaPeer(model, threads=1, context=CONTEXT)
        monkeypatch.setattr(peer, "_server", FakeServer(**answers))
        return peer

    return make


def test_all_three_calls_give_plausible_figures(process):
    assert 1e-7 < process.prefill(100) < 1.0
    assert 1e-7 < process.decode(32, 16) < 1.0
    assert 1.0 < process.decode_many(2, 32) < 1e7


def test_it_reads_and_writes_the_bytes_that_were_asked_for(model, monkeypatch):
    answers = []
    with LlamaPeer(model, threads=1, context=CONTEXT) as peer:
        server = peer._server

        class Recording:
            def handle_completions(self, body):
                answers.append(server.handle_completions(body))
                return answers[-1]

        monkeypatch.setattr(peer, "_server", Recording())
        peer.decode(32, 16)
        peer.decode(32, 16)  # the same prompt once more: nothing may come from a cache
        peer.prefill(100)
    timings = [answer["timings"] for answer in answers]
    assert [(found["prompt_n"], found["predicted_n"], found["cache_n"]) for found in timings] == [
        (16, 33, 0),
        (16, 33, 0),
        (100, 1, 0),
    ]


def test_memory_holds_the_context_of_every_slot(model, process):
    assert process.resident_bytes > model.stat().st_size
    keys_and_values = 2 * 2 * 256 * 2  # bytes for a byte of text: both, two layers, d_model, F16
    with llama_process(model, threads=1, slots=2, context=32 * CONTEXT) as large:
        more = large.resident_bytes - process.resident_bytes
    assert more > 0.8 * keys_and_values * 2 * 31 * CONTEXT


def test_figures_come_from_the_timings_of_llama_cpp(fake):
    peer = fake(timings={"prompt_ms": 50.0, "predicted_ms": 640.0})
    assert peer.prefill(100) == pytest.approx(0.0005)
    assert peer.decode(32, 16) == pytest.approx(0.02)
    assert peer._server.asked == [(100, 1), (16, 33)]


def test_without_timings_the_clock_decides_and_the_prompt_is_taken_off(fake):
    peer = fake()
    assert peer.decode(32, 16) == pytest.approx(0.001, rel=0.5)
    assert peer.prefill(10) > 0.0001
    assert peer._server.asked == [(16, 33), (16, 1), (10, 1)]


@pytest.mark.parametrize("answers", [{"cached": 4}, {"less": 1}])
def test_a_reply_to_something_else_is_no_figure(fake, answers):
    with pytest.raises(AxlError, match="instead of"):
        fake(**answers).decode(8, 16)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda peer: peer.prefill(CONTEXT + 1), "refused"),
        (lambda peer: peer.decode(CONTEXT, 16), "larger context"),
        (lambda peer: peer.prefill(0), "ask for 1 or more"),
        (lambda peer: peer.decode_many(3, 8), "3 requests do not fit the 2 slots"),
    ],
)
def test_what_does_not_fit_is_one_line_and_the_process_goes_on(process, call, says):
    with pytest.raises(AxlError, match=says) as caught:
        call(process)
    assert "\n" not in str(caught.value)
    assert process.decode(4, 4) > 0


@pytest.mark.parametrize("load", [LlamaPeer, llama_process])
def test_a_file_that_is_absent_or_no_model_is_one_line(tmp_path, model, load):
    (tmp_path / "text.gguf").write_text("no model")
    (tmp_path / "cut.gguf").write_bytes(model.read_bytes()[:500_000])
    for name, says in [("absent", "there is no model file"), ("text", "cannot load"), ("cut", "cannot load")]:
        with pytest.raises(AxlError, match=says) as caught, load(tmp_path / f"{name}.gguf", 1):
            pass
        assert "\n" not in str(caught.value)
    with pytest.raises(AxlError, match="above 0"), load(model, 0):
        pass


def test_the_process_ends_with_its_block_and_its_death_is_one_line(model):
    with llama_process(model, threads=1, context=CONTEXT) as peer:
        child = peer._child
        child.kill()
        with pytest.raises(AxlError, match="ended with status"):
            peer.prefill(8)
    with llama_process(model, threads=1, context=CONTEXT) as peer:
        child = peer._child
        assert child.poll() is None
    assert child.returncode == 0


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="a killed caller, on systems with process groups")
def test_a_killed_caller_leaves_no_busy_process(tmp_path):
    model, context = tmp_path / "long.gguf", 1 << 15
    write_byte_llama(model, LlamaShape(d_model=256, n_layers=2, n_heads=4, d_ff=768, context=context), seed=0)
    text = f"""
from pathlib import Path
from {llama.__name__} import llama_process
with llama_process(Path({str(model)!r}), 1, 1, {context}) as peer:
    print(peer._child.pid, flush=True)
    peer.decode({context} - 100, 16)  # far more than ten seconds
"""
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True) as caller:
        child = int(caller.stdout.readline())
        time.sleep(0.5)
        caller.kill()
    for _ in range(30):
        if not _runs(child):
            return
        time.sleep(0.1)
    os.kill(child, 9)
    pytest.fail("the process of llama.cpp went on without its caller")


def _runs(process):
    try:
        with open(f"/proc/{process}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        try:
            os.kill(process, 0)
        except OSError:
            return False
        return not os.path.exists("/proc/self")
