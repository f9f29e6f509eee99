"""`axl export ollama`: a folder that `ollama create` takes: a GGUF and a Modelfile that refers to it."""

from __future__ import annotations

from pathlib import Path

from multiscale_transformer.export.gguf import export_gguf, gguf_name
from multiscale_transformer.export.gguf_file import Kind, Quantized
from multiscale_transformer.files import write_text
from multiscale_transformer.locks import writing
from multiscale_transformer.model.folder import read_config
from multiscale_transformer.model.sampling import DEFAULT_SAMPLING
from multiscale_transformer.zoo.prompt_formats import Format, format_of

MODELFILE = "Modelfile"


def export_ollama(folder: Path, out: Path, name: str, kind: Kind = "Q8_0") -> list[tuple[Path, Quantized]]:
    """Write the model and its Modelfile. Raises AxlError for what `export_gguf` raises it for."""
    with writing(out):
        found = export_gguf(folder, out, name, (kind,))
        write_text(out / MODELFILE, modelfile(gguf_name(name, kind), read_config(folder).max_seq_len, format_of(folder)))
    return found


def modelfile(file: str, context: int, prompt_format: Format) -> str:
    """A Modelfile in a prompt format, which also fills in the middle.

    A byte is a token: `num_predict` counts bytes.
    """
    lines = [
        f"FROM ./{file}",
        f'TEMPLATE """{prompt_format.ollama_template}"""',
        f"PARAMETER num_ctx {context}",
        f"PARAMETER num_predict {DEFAULT_SAMPLING.max_new_tokens}",
        f"PARAMETER temperature {DEFAULT_SAMPLING.temperature}",
        f"PARAMETER top_p {DEFAULT_SAMPLING.top_p}",
        "PARAMETER repeat_penalty 1.0",
        *(f'PARAMETER stop "{_quoted(stop)}"' for stop in prompt_format.stops),
        'PARAMETER stop "<|eos|>"',
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
