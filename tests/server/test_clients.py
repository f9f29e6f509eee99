"""Other people's clients against the running server, each as it is used: in an environment of their own, which is made once."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.memory.lookup import memory_of
from multiscale_transformer.model.checkpoint import load_model
from server.running import Running, running, settings_for

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "tests" / "clients"
NAMES = (
    "openai_2",
    "ollama",
    "langchain_openai",
    "langchain_ollama",
    "llama_index_openai_like",
    "llama_index_ollama",
    "litellm",
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of the clients' environment, made again when their requirements change."""
    requirements = CLIENTS / "requirements.txt"
    folder = ROOT / ".venv-clients"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    made = folder / "made"
    if not made.exists() or made.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", "-r", requirements], check=True)
        made.write_text(wanted)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def up(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(settings_for(model, tmp_path_factory.mktemp("clients"))) as server:
        yield server


@pytest.mark.parametrize("name", NAMES)
def test_a_client_does_what_it_does(python: Path, up: Running, name: str) -> None:
    answer = subprocess.run(
        [python, CLIENTS / "try_clients.py", up.url, "tiny", name], capture_output=True, text=True, timeout=300, check=False
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert f"{name}: ok" in answer.stdout


@pytest.mark.skipif(shutil.which("npm") is None, reason="Continue's command line needs Node.js")
def test_continue(up: Running, tmp_path: Path) -> None:
    subprocess.run(
        ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", tmp_path, "@continuedev/cli@1.5.47"],
        check=True,
        timeout=300,
    )
    (tmp_path / "config.yaml").write_text(
        f"name: local\nversion: 1.0.0\nschema: v1\nmodels:\n"
        f"  - {{name: axl, provider: openai, model: tiny, apiBase: '{up.url}/v1', apiKey: none, roles: [chat],\n"
        f"     defaultCompletionOptions: {{maxTokens: 40}}}}\n"
    )
    cn = tmp_path / "node_modules" / ".bin" / "cn"
    answer = subprocess.run(
        [cn, "--config", tmp_path / "config.yaml", "-p", "Say something."],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin:/usr/local/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]


def test_a_harness_scores_over_http_what_axl_scores(python: Path, up: Running, model: Path, tmp_path: Path) -> None:
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
    command = [python.parent / "lm_eval", "--model", "local-completions", "--model_args", options]
    command += ["--include_path", tmp_path, "--tasks", "code", "--output_path", tmp_path / "out"]
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert answer.returncode == 0, answer.stderr[-3000:]
    (found,) = (tmp_path / "out").rglob("results_*.json")
    theirs = json.loads(found.read_text())["results"]["code"]["bits_per_byte,none"]
    documents = [(str(number), text.encode()) for number, text in enumerate(texts)]
    ours = score_documents(load_model(model), documents, memory=memory_of(model, True, None)).bits_per_byte
    assert theirs == pytest.approx(ours, rel=0.01)
