"""llama.cpp as a peer: it does what was asked, says what it took, and ends with its block."""

import os
import platform
import shutil
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from benchmarks import llama_client, llama_library
from benchmarks.llama_client import LlamaClient, llama_process
from benchmarks.llama_file import LlamaShape, write_byte_llama
from held import IN_CI
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


def test_all_three_calls_give_plausible_figures(process):
    assert process.prefill(100) > 0
    assert process.decode(32, 16) > 0
    assert process.decode_many(2, 32) > 0


def test_it_reads_and_writes_the_bytes_that_were_asked_for(model, monkeypatch):
    steps = []
    with LlamaClient(model, threads=1, slots=2, context=CONTEXT) as client:
        decode = client._decode
        monkeypatch.setattr(client, "_decode", lambda rows, wanted: (steps.append(len(rows)), decode(rows, wanted)))
        client.decode(32, 16)
        client.decode(32, 16)  # the same prompt once more: nothing may come from a cache
        client.prefill(100)
        client.decode_many(2, 3, 8)
    assert steps == [16, *[1] * 32, 16, *[1] * 32, 100, 8, 8, 2, 2, 2]


@pytest.mark.parametrize("build", ["npm", "xllamacpp"])
def test_both_builds_give_what_the_weights_say(tmp_path, monkeypatch, build):
    path = tmp_path / "f16.gguf"
    write_byte_llama(path, LlamaShape(d_model=256, n_layers=2, n_heads=4, d_ff=768, context=CONTEXT), seed=1)
    llama_library.load_library.cache_clear()
    if build == "xllamacpp":
        monkeypatch.setattr(llama_library, "fetch", _absent)
    else:
        _skip_without_npm()
    try:
        with LlamaClient(path, context=CONTEXT) as client:
            ids = [256, *b"def area(radius):"]
            together = client.logprobs(ids)
            alone = client.logprobs(ids[:5])[-1]
            written = client.greedy(ids, 8)
    finally:
        llama_library.load_library.cache_clear()
    assert client.build.startswith("node-llama-cpp" if build == "npm" else "xllamacpp")
    assert together.shape == (len(ids), 258)
    assert abs(together[4] - alone).max() < 0.05
    assert abs(1 - np.exp(together).sum(axis=1)).max() < 1e-5
    assert written[0] == together[-1, :257].argmax()
    assert len(written) == 8


def test_the_strongest_build_is_the_one_that_is_used(model):
    _skip_without_npm()
    with LlamaClient(model) as client:
        assert client.build.startswith(f"node-llama-cpp {llama_library.VERSION}, ")
        assert "unknown" not in client.build


def _absent():
    raise AxlError("no npm here")


def _skip_without_npm():
    if shutil.which("npm") is None or (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("there is no npm here, or no package for this machine")
    try:
        llama_library.fetch()
    except AxlError as error:
        (pytest.fail if IN_CI else pytest.skip)(str(error))


def test_memory_holds_the_context_of_every_slot(model, process):
    assert process.rss_bytes > model.stat().st_size
    keys_and_values = 2 * 2 * 256 * 2  # bytes for a byte of text: both, two layers, d_model, F16
    with llama_process(model, threads=1, slots=2, context=32 * CONTEXT) as large:
        more = large.rss_bytes - process.rss_bytes
    assert more > 0.8 * keys_and_values * 2 * 31 * CONTEXT


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda peer: peer.prefill(CONTEXT + 1), "larger context"),
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


@pytest.mark.parametrize("load", [LlamaClient, llama_process])
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
from {llama_client.__name__} import llama_process
with llama_process(Path({str(model)!r}), 1, 1, {context}) as peer:
    print(peer._child.pid, flush=True)
    peer.decode({context} - 100, 16)  # far more than ten seconds
"""
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True) as caller:
        child = int(caller.stdout.readline())
        begun, looks = _seconds_of(child), 0
        while _seconds_of(child) < begun + 0.2:  # it writes
            time.sleep(0.05)
            assert (looks := looks + 1) < 600, "it does not write"
        caller.kill()
    for _ in range(300):
        if not _runs(child):
            return
        time.sleep(0.1)
    os.kill(child, 9)
    pytest.fail("the process of llama.cpp went on without its caller")


def _seconds_of(process):
    times = psutil.Process(process).cpu_times()
    return times.user + times.system


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
