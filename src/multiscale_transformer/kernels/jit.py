"""How kernels are compiled: what Python calls, the parts of it, and arrays that nobody counts.

Every kernel is made by `kernel`, which gives it a place in the cache (`kernels.kernel_cache`); none calls `njit` itself.

Numba's defaults are made for safety: every call counts references to every array that it hands on, atomically; division looks
for zeros, with a branch that keeps loops from being vectorised; every function gets wrappers for Python, which take most of
the time to compile. Kernels need none of that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from multiscale_transformer.kernels.kernel_cache import KernelCache

KERNELS: list[Any] = []  # the dispatchers of all kernels whose modules have been imported, but for those always inlined


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def kernel(**options: Any) -> Decorator:
    """Compile a function when it is called, without the interpreter's lock, and keep it. `options` are those of `njit`."""

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        dispatcher = njit(nogil=True, **options)(function)
        dispatcher._cache = KernelCache(function)
        if options.get("inline") != "always":
            KERNELS.append(dispatcher)
        return dispatcher

    return compiled


_PART: dict[str, Any] = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

jit_entry = kernel(error_model="numpy")  # what Python calls
jit_device = kernel(**_PART)  # what only kernels call
jit_fastmath = kernel(**_PART, fastmath={"reassoc", "contract", "nsz"})  # sums may change order, in every row alike


@intrinsic
def without_refcounts(typing: Any, value: Any) -> Any:
    """The same arrays (in named tuples of any depth) without reference counts: whoever calls keeps them alive.

    Numba counts references to every array at every call, atomically; in a step with hundreds of calls that hand on dozens
    of arrays this was half of the time.
    """

    def borrow(context: Any, builder: Any, kind: Any, part: Any) -> Any:
        if isinstance(kind, types.Array):
            array = context.make_array(kind)(context, builder, part)
            array.meminfo = ir.Constant(array.meminfo.type, None)
            array.parent = ir.Constant(array.parent.type, None)
            return array._getvalue()
        if isinstance(kind, types.BaseTuple):
            for number, inner_kind in enumerate(kind):  # type: ignore[arg-type]
                inner_part = borrow(context, builder, inner_kind, builder.extract_value(part, number))
                part = builder.insert_value(part, inner_part, number)
        return part

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return borrow(context, builder, signature.args[0], args[0])

    return value(value), codegen
