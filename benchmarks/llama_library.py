"""The C API of llama.cpp through ctypes, from the strongest build there is for this processor.

The npm package `@node-llama-cpp/linux-x64` ships llama.cpp as shared libraries with a set of kernels for each generation of
processors (AVX-512 among them) and picks the best at load; npm fetches it once into the cache folder of AXL. Where it cannot be
had, the extension of the Python package `xllamacpp` exports the same functions; its wheel is built for AVX2, and the label of a
measurement says which build it was.
"""

from __future__ import annotations

import ctypes
import platform
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import platformdirs

from multiscale_transformer import files
from multiscale_transformer.errors import AxlError

PACKAGE, VERSION = "@node-llama-cpp/linux-x64", "3.22.1"
FETCH_SECONDS = 300
_STRUCT_BYTES = 512  # more than any parameter struct has: what a call does not know, it neither reads nor writes
Token = ctypes.c_int32


class ModelParams(ctypes.Structure):
    """llama_model_params, all as llama.cpp fills it."""

    _fields_ = (("rest", ctypes.c_uint64 * (_STRUCT_BYTES // 8)),)


class ContextParams(ctypes.Structure):
    """The head of llama_context_params."""

    _fields_ = (
        ("n_ctx", ctypes.c_uint32),
        ("n_batch", ctypes.c_uint32),
        ("n_ubatch", ctypes.c_uint32),
        ("n_seq_max", ctypes.c_uint32),
        ("rest", ctypes.c_uint64 * (_STRUCT_BYTES // 8)),
    )


class Batch(ctypes.Structure):
    """llama_batch: tokens with their positions and sequences, and whether their logits are wanted."""

    _fields_ = (
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(Token)),
        ("embd", ctypes.POINTER(ctypes.c_float)),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    )


class QuantizeParams(ctypes.Structure):
    """The head of llama_model_quantize_params; the default fills the rest."""

    _fields_ = (("nthread", ctypes.c_int32), ("ftype", ctypes.c_int), ("rest", ctypes.c_uint64 * (_STRUCT_BYTES // 8)))


_LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_POINTER, _INT = ctypes.c_void_p, ctypes.c_int32
_SIGNATURES: dict[str, tuple[object, list[object]]] = {  # the function: what it returns, what it takes
    "llama_log_set": (None, [_LOG, _POINTER]),
    "llama_model_default_params": (ModelParams, []),
    "llama_model_load_from_file": (_POINTER, [ctypes.c_char_p, ModelParams]),
    "llama_model_free": (None, [_POINTER]),
    "llama_model_get_vocab": (_POINTER, [_POINTER]),
    "llama_vocab_n_tokens": (_INT, [_POINTER]),
    "llama_vocab_is_eog": (ctypes.c_bool, [_POINTER, Token]),
    "llama_context_default_params": (ContextParams, []),
    "llama_init_from_model": (_POINTER, [_POINTER, ContextParams]),
    "llama_set_n_threads": (None, [_POINTER, _INT, _INT]),
    "llama_free": (None, [_POINTER]),
    "llama_get_memory": (_POINTER, [_POINTER]),
    "llama_memory_clear": (None, [_POINTER, ctypes.c_bool]),
    "llama_batch_init": (Batch, [_INT, _INT, _INT]),
    "llama_batch_free": (None, [Batch]),
    "llama_decode": (_INT, [_POINTER, Batch]),
    "llama_get_logits_ith": (ctypes.POINTER(ctypes.c_float), [_POINTER, _INT]),
    "llama_tokenize": (
        _INT,
        [_POINTER, ctypes.c_char_p, _INT, ctypes.POINTER(Token), _INT, ctypes.c_bool, ctypes.c_bool],
    ),
    "llama_detokenize": (
        _INT,
        [_POINTER, ctypes.POINTER(Token), _INT, ctypes.c_char_p, _INT, ctypes.c_bool, ctypes.c_bool],
    ),
}
_OF_NPM: dict[str, tuple[object, list[object]]] = {  # what only the npm package has
    "llama_model_quantize_default_params": (QuantizeParams, []),
    "llama_model_quantize": (ctypes.c_uint32, [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(QuantizeParams)]),
}

_discard = _LOG(lambda level, text, data: None)  # llama.cpp logs every tensor; errors come back as return values


@cache
def load_library() -> tuple[ctypes.CDLL, str]:
    """llama.cpp and the label of its build. Raises AxlError when neither package can be had."""
    signatures = _SIGNATURES | _OF_NPM
    try:
        library, label = _from_npm(fetch())
    except AxlError as error:
        library, label = _from_xllamacpp(str(error))
        signatures = _SIGNATURES
    for name, (returned, taken) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = returned, taken
    library.llama_log_set(_discard, None)
    return library, label


def fetch() -> Path:
    """The folder of the shared libraries in the npm package, which npm fetches on first use.

    Raises AxlError on another system than Linux x86-64, without npm, or when npm fails.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise AxlError(f"{PACKAGE} is for Linux on x86-64")
    folder = platformdirs.user_cache_path("axl") / f"llama.cpp-{VERSION}"
    if not folder.exists():
        if not shutil.which("npm"):
            raise AxlError(f"fetching {PACKAGE} needs npm; install Node.js")
        with files.new_folder(folder) as temporary:
            command = ["npm", "install", "--silent", "--omit=optional", "--prefix", str(temporary), f"{PACKAGE}@{VERSION}"]
            try:
                subprocess.run(command, check=True, capture_output=True, timeout=FETCH_SECONDS)
            except (OSError, subprocess.SubprocessError) as error:
                raise AxlError(f"npm could not fetch {PACKAGE} ({error}); try again when the registry answers") from error
    return next(folder.rglob("libllama.v*.so")).parent


def _from_npm(folder: Path) -> tuple[ctypes.CDLL, str]:
    ggml = None
    for needed in ("libggml-base*.so", "libggml.v*.so"):
        ggml = ctypes.CDLL(str(next(folder.glob(needed))), ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(next(folder.glob("libllama.v*.so"))))
    library.llama_log_set(_discard, None)
    assert ggml is not None
    ggml.ggml_backend_load_all_from_path(bytes(folder))
    kernels = re.search(r"libggml-cpu-(\w+)\.so", Path("/proc/self/maps").read_text(encoding="utf-8"))
    return library, f"node-llama-cpp {VERSION}, {kernels[1] if kernels else 'unknown'} kernels"


def _from_xllamacpp(why: str) -> tuple[ctypes.CDLL, str]:
    try:
        import xllamacpp
    except ImportError as error:
        raise AxlError(f"llama.cpp is not to be had: {why}; or run: pip install axl[peers]") from error
    (extension,) = Path(xllamacpp.__file__).parent.glob("xllamacpp*.so")
    return ctypes.CDLL(str(extension)), f"xllamacpp {xllamacpp.__version__}"
