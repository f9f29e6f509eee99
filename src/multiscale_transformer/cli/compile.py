"""`axl compile`, and the same before whatever needs kernels for the first time: never in silence."""

from __future__ import annotations

import time

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.ui import print_field
from multiscale_transformer.zoo.shipped import shipped_model


def compile() -> None:  # noqa: A001 - the command's name
    """Compile the kernels for this CPU: now, instead of on first use.

    They are kept in the installation, or else in your cache folder. In an image for containers, run it when the image is built.
    """
    from multiscale_transformer.kernels.kernel_cache import writable_folder

    begin = time.perf_counter()
    compiled, folder = ensure_kernels(), writable_folder()
    if folder is None:
        print_field("Kernels", "compiled, but there is no folder to keep them in; NUMBA_CACHE_DIR can name one")
    elif compiled:
        print_field("Kernels", f"compiled for this CPU in {time.perf_counter() - begin:.0f} s, kept in {folder}")
    else:
        print_field("Kernels", f"nothing to do: they are compiled, in {folder}")


def ensure_kernels() -> bool:
    """Compile what no earlier command has, with a bar or lines; returns whether there was anything to do."""
    from multiscale_transformer.engine.warm_up import compile_kernels, missing_kernels

    if not missing_kernels():
        return False
    with ui.bar(at_once=True) as bar:
        task = bar.add_task("compiling for this CPU, once: about half a minute", total=None)
        compile_kernels(shipped_model(), lambda done, total: bar.update(task, completed=done, total=total))
    return True
