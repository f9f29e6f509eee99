"""`axl export hf`: a folder that Hugging Face's transformers loads by itself, with the whole model and its cache.

Its code is ours: the modules of `model/` that a forward pass needs are written out with their imports made relative and what
only AXL needs left out. So there is one source, and no second model to keep alike.
"""

from __future__ import annotations

import ast
import json
from importlib import resources
from pathlib import Path
from typing import Any

import torch

import multiscale_transformer
from multiscale_transformer import files, model
from multiscale_transformer.errors import AxlError
from multiscale_transformer.export.gguf_file import byte_texts
from multiscale_transformer.locks import writing
from multiscale_transformer.model.checkpoint import load_model, save_tensors
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.folder import CONFIG_FILE, MODEL_TYPE, WEIGHTS_FILE
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.sampling import DEFAULT_SAMPLING, NEVER_DRAWN
from multiscale_transformer.model.vocabulary import BOS, EOS
from multiscale_transformer.zoo.prompt_formats import CHAT_TEMPLATE_FILE, format_of

MODULES = (
    "vocabulary", "memory_spec", "word_ends", "autograd", "passes", "layers", "memory_tensors", "cache", "blocks",
    "memory_fusion", "word_scale", "byte_transformer", "cross_attention", "model",
)  # fmt: skip
PREFIX = "axl_"
DERIVED = ("layers", "pairs", "head_dim", "cross_ff")  # properties of the config that the modules read
_PACKAGE = "multiscale_transformer.model."


def export_hf(folder: Path, out: Path, name: str) -> None:
    """Write config, weights, code, tokenizer and card.

    Raises AxlError when `folder` is no checkpoint, `out` is there already, cannot be written or is being written.
    """
    network = load_model(folder)
    with writing(out):
        if out.exists():
            raise AxlError(f"{out} already exists; choose another --out, or delete it")
        _write(network, folder, out, name)


def _write(network: MultiScaleTransformer, folder: Path, out: Path, name: str) -> None:
    with files.new_folder(out) as made:
        weights = {f"model.{key}": tensor for key, tensor in network.state_dict().items()}
        save_tensors(made / WEIGHTS_FILE, weights)
        files.write_json(made / CONFIG_FILE, _config(network.config))
        files.write_json(made / "generation_config.json", _generation())
        for path, text in (*code().items(), *tokenizer().items()):
            files.write_text(made / path, text)
        files.write_text(made / CHAT_TEMPLATE_FILE, format_of(folder).chat)
        files.write_text(made / "README.md", card(folder, name))


def code() -> dict[str, str]:
    """The files of code: the model's modules as axl_*.py, and what makes a model of transformers of them."""
    folder = Path(str(model.__file__)).parent
    made = {f"{PREFIX}{module}.py": _written_out((folder / f"{module}.py").read_text(encoding="utf-8")) for module in MODULES}
    remote = resources.files("multiscale_transformer.export") / "remote" / "modeling_axl.py"
    return {**made, "modeling_axl.py": remote.read_text(encoding="utf-8")}


def _written_out(source: str) -> str:
    tree = ast.parse(source)
    tree.body = [node for node in (_relative(node) for node in tree.body) if node is not None]
    for node in tree.body:
        if isinstance(node, ast.ClassDef):  # the published `generate` of our own class; transformers has another
            node.body = [part for part in node.body if getattr(part, "name", "") != "generate"]
    return f"# Written by AXL {multiscale_transformer.__version__} out of its own sources.\n{ast.unparse(tree)}\n"


def _relative(node: ast.stmt) -> ast.stmt | None:
    """An import of ours as a relative one, or nothing where it is only for annotations or for AXL's own decoding."""
    if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("multiscale_transformer"):
        module = node.module.removeprefix(_PACKAGE)
        return ast.ImportFrom(f"{PREFIX}{module}", node.names, 1) if module in MODULES else None
    return node


def _config(config: ModelConfig) -> dict[str, Any]:
    fields = {**config.model_dump(mode="json"), **{key: getattr(config, key) for key in DERIVED}}
    return {
        "model_type": MODEL_TYPE,
        "architectures": ["MultiScaleForCausalLM"],
        "auto_map": {
            "AutoConfig": "modeling_axl.MultiScaleConfig",
            "AutoModelForCausalLM": "modeling_axl.MultiScaleForCausalLM",
        },
        "axl": fields,
        "torch_dtype": str(torch.float32).removeprefix("torch."),
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "pad_token_id": EOS,
        "tie_word_embeddings": False,
    }


def _generation() -> dict[str, Any]:
    marks = {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": EOS}
    sampling = {"do_sample": True, **DEFAULT_SAMPLING.model_dump(exclude_unset=True)}
    return {**marks, **sampling, "suppress_tokens": sorted(NEVER_DRAWN)}


def tokenizer() -> dict[str, str]:
    """`tokenizer.json` of the library tokenizers: a byte-level BPE without merges whose ids are the bytes."""
    vocabulary = {text: byte for byte, text in enumerate(byte_texts())}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    marks = {"<|bos|>": BOS, "<|eos|>": EOS}
    added = [
        {
            "id": index,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for text, index in marks.items()
    ]
    begun = [{"SpecialToken": {"id": "<|bos|>", "type_id": 0}}]
    content: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [*begun, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [*begun, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<|bos|>": {"id": "<|bos|>", "ids": [BOS], "tokens": ["<|bos|>"]}},
        },
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {**vocabulary, **marks},
            "merges": [],
        },
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|bos|>",
        "eos_token": "<|eos|>",
        "pad_token": "<|eos|>",
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    return {
        "tokenizer.json": json.dumps(content, ensure_ascii=False),
        "tokenizer_config.json": json.dumps(settings, indent=2),
    }


def card(folder: Path, name: str) -> str:
    """The model card: what its own says, under the header that the hub reads."""
    kind = ["library_name: transformers", "license: apache-2.0", "pipeline_tag: text-generation", "tags: [code, byte-level]"]
    head = ["---", *kind, "---", ""]
    own = folder / "README.md"
    body = own.read_text(encoding="utf-8") if own.is_file() else f"# {name}\n"
    use = [
        "",
        "## With transformers",
        "",
        "```python",
        "from transformers import pipeline",
        "",
        'write = pipeline("text-generation", model="PATH OR NAME", trust_remote_code=True)',
        'print(write("def main(")[0]["generated_text"])',
        "```",
        "",
        "A token is a byte. The memory that AXL looks things up in is not a part of this export.",
        "",
    ]
    return "\n".join([*head, body.rstrip(), *use])
