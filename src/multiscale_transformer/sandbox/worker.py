"""The child of the fork server that becomes the program: it closes itself off, then runs a Python file or a command."""

from __future__ import annotations

import builtins
import fcntl
import gc
import os
import signal
import sys
import traceback
import types
from contextlib import suppress
from typing import NoReturn

from multiscale_transformer.sandbox import confine
from multiscale_transformer.sandbox.limits import Limits, Program, Rung

BROKEN = 97  # exit status of a worker that could not close itself off; programs may have it too
END_OF_REPORT = "\0"  # stands behind what such a worker tells the fork server
_TOLD = 3  # where it tells it, until the program begins


class Confinement:
    """What the fork server knows of this machine: the rung, the user that programs run as, and how many processes count."""

    def __init__(self, rung: Rung, user: int | None, processes_before: int) -> None:
        self.rung, self.user, self.processes_before = rung, user, processes_before

    def enter(self, program: Program, limits: Limits, scratch: str) -> None:
        """Close this process off, for good. Raises OSError where the rung turns out not to hold."""
        confine.no_new_privileges()
        if self.user is not None:
            confine.drop_root(self.user)
        else:
            confine.drop_capabilities()  # who makes a namespace of users is its root
        # Limits come before Landlock: both keep what is open open, and the limit on open files would hinder its rules.
        if self.rung >= Rung.LANDLOCK:
            confine.landlock([sys.prefix, sys.base_prefix, *program.readable], scratch)
        confine.limit(limits, self.processes_before + limits.processes, reserves_memory=program.reserves_memory)
        if self.rung >= Rung.LANDLOCK:
            confine.seccomp(own_signals_only=self.rung < Rung.NAMESPACES)


def become(
    program: Program, limits: Limits, scratch: str, confinement: Confinement, output: int, errors: int, told: int
) -> NoReturn:
    """Run the program in this process, its output going to two file descriptors; never returns.

    Before the program begins, `told` takes what goes wrong. It is closed then: no program can speak for the sandbox.
    """
    status = BROKEN
    try:
        os.chdir(scratch)
        _redirect(program.stdin, scratch, output, errors, told)
        environment = {"HOME": scratch, "TMPDIR": scratch, "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
        environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", **program.environment}
        os.environ.clear()
        os.environ.update(environment)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        confinement.enter(program, limits, scratch)
        os.close(_TOLD)
        if program.python is None:
            status = 127
            os.execvpe(program.command[0], list(program.command), environment)
        status = _run_file(program.python, program.arguments)
    except BaseException as error:
        os.write(2, traceback.format_exc().encode(errors="replace"))
        if status == BROKEN:
            with suppress(OSError):  # closed: the program has begun
                os.write(_TOLD, f"{error}{END_OF_REPORT}".encode(errors="replace"))
    finally:
        os._exit(status)


def _redirect(stdin: str, scratch: str, output: int, errors: int, told: int) -> None:
    if stdin:
        reading, writing = os.pipe()  # a text that is longer than a pipe comes from a file
        if len(stdin) < 1 << 12:
            os.write(writing, stdin.encode())
            os.close(writing)
        else:
            os.close(reading)
            os.close(writing)
            path = os.path.join(scratch, ".stdin")
            with open(path, "w", encoding="utf-8") as file:
                file.write(stdin)
            reading = os.open(path, os.O_RDONLY)
            os.unlink(path)
    else:
        reading = os.open(os.devnull, os.O_RDONLY)
    # Copies above the places that they go to, so that none is closed by another.
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD, _TOLD + 1) for end in (reading, output, errors, told)]
    for source, target in zip(ends, (0, 1, 2, _TOLD), strict=True):
        os.dup2(source, target)
    os.closerange(_TOLD + 1, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 1 << 16 else 1 << 16)


def _run_file(name: str, arguments: tuple[str, ...]) -> int:
    """What `python NAME ARGUMENTS` does, in an interpreter that is warm already: its exit status."""
    gc.unfreeze()
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    vars(sys).update(__stdin__=sys.stdin, __stdout__=sys.stdout, __stderr__=sys.stderr)
    sys.argv = [name, *arguments]
    sys.path.insert(0, os.getcwd())
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=name, __builtins__=builtins)
    sys.modules["__main__"] = main
    try:
        with open(name, "rb") as file:
            source = file.read()
        exec(compile(source, name, "exec"), main.__dict__)
        status = 0
    except SystemExit as leaving:
        status = _exit_status(leaving)
    except BaseException:
        _print_traceback()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            status = status or 120  # what Python itself exits with
    return status


def _exit_status(leaving: SystemExit) -> int:
    if leaving.code is None:
        return 0
    if isinstance(leaving.code, int):
        return leaving.code & 0xFF
    print(leaving.code, file=sys.stderr)
    return 1


def _print_traceback() -> None:
    """The traceback as Python prints it, without the frame of this module."""
    kind, error, frames = sys.exc_info()
    traceback.print_exception(kind, error, frames.tb_next if frames else None)
