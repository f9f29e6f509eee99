"""Other people's clients for Python against the running server, each as it is used; those of npm: test_node_clients.py."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.memory.lookup import memory_of
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.zoo.shipped import shipped_model
from server.client_folders import CLIENTS, ROOT, connect, python_of, run
from server.running import Running, running, settings_for

LIBRARIES = (
    "openai_2",
    "ollama",
    "langchain_openai",
    "langchain_ollama",
    "llama_index_openai_like",
    "llama_index_ollama",
    "litellm",
    "anthropic",
    "langchain_anthropic",
    "instructor",
)
AGENTS = ("pydantic_ai", "smolagents")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def up(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(settings_for(model, tmp_path_factory.mktemp("clients"))) as server:
        yield server


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_does_what_it_does(up: Running, tmp_path: Path, name: str) -> None:
    command = [python_of("libraries"), CLIENTS / "try_libraries.py", up.url, "tiny", name]
    assert f"{name}: ok" in run(command, tmp_path)


@pytest.mark.parametrize("name", AGENTS)
def test_a_framework_for_agents_does_what_it_does(up: Running, tmp_path: Path, name: str) -> None:
    command = [python_of("agents"), CLIENTS / "try_agents.py", up.url, "tiny", name]
    assert f"{name}: ok" in run(command, tmp_path)


def test_openai_agents(ending: Running, tmp_path: Path) -> None:
    """It sends no limit where its user gives none, and takes an answer that fills the context for a failure."""
    command = [python_of("agents"), CLIENTS / "try_agents.py", ending.url, "tiny", "openai_agents"]
    assert "openai_agents: ok" in run(command, tmp_path)


def test_aider(tmp_path: Path) -> None:
    """With the model in the package: aider sends no option that would keep a random one from ending at once."""
    quiet = ["--no-check-update", "--analytics-disable", "--no-show-release-notes", "--no-show-model-warnings", "--no-pretty"]
    ask = ["--message", "Say something.", "--yes-always", "--no-git", "--map-tokens", "0"]
    with running(settings_for(shipped_model(), tmp_path / "server", indexes={})) as server:
        connect("aider", server.url, tmp_path / ".aider.conf.yml")
        said = run([python_of("aider").parent / "aider", *quiet, *ask], tmp_path)
    received = re.search(r"([\d.,]+)k? received", said)
    assert received is not None, said
    assert float(received.group(1).replace(",", "")) > 0, said


def test_a_harness_scores_over_http_what_axl_scores(up: Running, model: Path, tmp_path: Path) -> None:
    """lm-evaluation-harness, with echo, log-probabilities and our tokenizer, which llama-server cannot do."""
    texts = [path.read_text()[:3000] for path in sorted((ROOT / "tests" / "model").glob("*.py"))[:3]]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / "code.yaml").write_text(
        "task: code\ndataset_path: json\ndataset_kwargs:\n  data_files:\n"
        f"    test: {tmp_path / 'texts.jsonl'}\n"
        'output_type: loglikelihood_rolling\ntest_split: test\ndoc_to_text: ""\ndoc_to_target: "{{text}}"\n'
        "metric_list:\n  - metric: bits_per_byte\n"
    )
    options = f"model=tiny,base_url={up.url}/v1/completions,tokenizer_backend=remote,max_length=100000,num_concurrent=1"
    command = [python_of("libraries").parent / "lm_eval", "--model", "local-completions", "--model_args", options]
    command += ["--include_path", tmp_path, "--tasks", "code", "--output_path", tmp_path / "out"]
    run(command, tmp_path, HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    (found,) = (tmp_path / "out").rglob("results_*.json")
    theirs = json.loads(found.read_text())["results"]["code"]["bits_per_byte,none"]
    documents = [(str(number), text.encode()) for number, text in enumerate(texts)]
    ours = score_documents(load_model(model), documents, memory=memory_of(model, True, None)).bits_per_byte
    assert theirs == pytest.approx(ours, rel=0.01)
