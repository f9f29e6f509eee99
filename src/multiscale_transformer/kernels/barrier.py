"""A barrier between the threads of a step, inside compiled code.

Threads that have a core each meet every few hundredths of a millisecond, so the first to come spins for that long. Who waits
longer waits for a thread that has lost its core, and must not burn its own (two threads on one free core were 85 times slower
than one): it sleeps until the last one wakes it, by a futex on Linux (Drepper 2011, "Futexes are tricky"), elsewhere by
giving its turn away.
"""

from __future__ import annotations

import platform
import sys
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from multiscale_transformer.kernels.jit import jit_device

SPINS = 10_000  # looks at the barrier before going to sleep: about as long as falling asleep and waking up takes
LINE = 16  # numbers that processors move between their caches together: two lines of 64 bytes
ARRIVED, TURN, ASLEEP, SIZE = range(4)  # places in a barrier's state, int64

_FUTEX = {"x86_64": 202, "aarch64": 98}.get(platform.machine()) if sys.platform == "linux" else None  # number of the call
_WAIT, _WAKE = 128, 129  # FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE
_EVERYBODY = 2**31 - 1

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_X86, _ARM = ("llvm.x86.sse2.pause", ()), ("llvm.aarch64.hint", (_I32(1),))  # PAUSE and YIELD, as LLVM calls them
_PAUSE = {"x86_64": _X86, "AMD64": _X86, "aarch64": _ARM, "arm64": _ARM}.get(platform.machine())


def new_barrier() -> np.ndarray[Any, np.dtype[np.int64]]:
    """The state of a barrier at which nobody has arrived, far from whatever else is written while threads look at it."""
    return np.zeros(3 * LINE, np.int64)[LINE : LINE + SIZE]


def _pointer(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.gep(context.make_array(signature.args[0])(context, builder, args[0]).data, [args[1]])


@intrinsic
def _add(typing: Any, state: Any, at: Any, value: Any) -> Any:
    """Add atomically; what was there before."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", _pointer(context, builder, signature, args), args[2], "seq_cst")

    return types.int64(state, types.int64, types.int64), codegen


@intrinsic
def _read(typing: Any, state: Any, at: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_pointer(context, builder, signature, args), "seq_cst", 8)

    return types.int64(state, types.int64), codegen


@intrinsic
def _write(typing: Any, state: Any, at: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[2], _pointer(context, builder, signature, args), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(state, types.int64, types.int64), codegen


@intrinsic
def _pause(typing: Any) -> Any:
    """Tell the processor that this is a loop that waits: it leaves the core to the other thread on it, if there is one."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _PAUSE is not None:
            name, arguments = _PAUSE
            kind = ir.FunctionType(ir.VoidType(), [_I32] * len(arguments))
            builder.call(builder.module.globals.get(name) or ir.Function(builder.module, kind, name), arguments)
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _rest(typing: Any, state: Any, at: Any, value: Any) -> Any:
    """Sleep while `state[at]` is `value`, or for no reason a little shorter."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _FUTEX is None:
            _call(builder, "SwitchToThread" if sys.platform == "win32" else "sched_yield", [])
        else:
            pointer = _pointer(context, builder, signature, args)
            _futex(builder, pointer, _WAIT, builder.trunc(args[2], _I32))
        return context.get_dummy_value()

    return types.void(state, types.int64, types.int64), codegen


@intrinsic
def _wake(typing: Any, state: Any, at: Any) -> Any:
    """Wake all who rest on `state[at]`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _FUTEX is not None:
            _futex(builder, _pointer(context, builder, signature, args), _WAKE, _I32(_EVERYBODY))
        return context.get_dummy_value()

    return types.void(state, types.int64), codegen


def _futex(builder: Any, pointer: Any, operation: int, value: Any) -> None:
    """The lower half of a number is what the system compares: it comes first on both of the processors."""
    no_timeout = ir.Constant(_I8.as_pointer(), None)
    _call(builder, "syscall", [_I64(_FUTEX), pointer, _I32(operation), value, no_timeout, no_timeout, _I32(0)])


def _call(builder: Any, name: str, arguments: list[Any]) -> None:
    """Call a function of the C library, which every process has."""
    module = builder.module
    kind = ir.FunctionType(_I64 if arguments else _I32, [_I64] if arguments else [], var_arg=bool(arguments))
    function = module.globals.get(name) or ir.Function(module, kind, name)
    builder.call(function, arguments)


@jit_device
def barrier_wait(state, threads):
    """Wait until all `threads` have come here; `state` is a `new_barrier` of theirs alone."""
    if threads == 1:
        return
    turn = _read(state, TURN)
    if _add(state, ARRIVED, 1) == threads - 1:
        _write(state, ARRIVED, 0)
        _write(state, TURN, turn + 1)
        if _read(state, ASLEEP) > 0:
            _wake(state, TURN)
        return
    for _ in range(SPINS):
        if _read(state, TURN) != turn:
            return
        _pause()
    _add(state, ASLEEP, 1)
    while _read(state, TURN) == turn:
        _rest(state, TURN, turn)
    _add(state, ASLEEP, -1)
