"""`Sandbox`: runs programs that nobody trusts and says how they ended.

    with Sandbox() as sandbox:
        outcome = sandbox.run_python("print(1 + 1)")

A sandbox keeps one fork server (`sandbox.fork_server`), so that a short Python program costs milliseconds. It reaches for the
highest rung of the ladder (`sandbox.limits.Rung`), tries what that rung claims (`sandbox.probe`) and takes the next one where
the claim fails. Below the rung that is asked for it refuses to be made.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from multiscale_transformer.errors import AxlError
from multiscale_transformer.sandbox.descendants import kill_descendants
from multiscale_transformer.sandbox.limits import TRUSTED_FROM, Limits, Outcome, Program, Rung
from multiscale_transformer.sandbox.probe import PROBE, escapes

MAIN = "main.py"  # what `run_python` calls its source
RESULT_BYTES = 1 << 24  # of a file that is read afterwards
_ROOT = Path(__file__).resolve().parents[2]  # where the package lies, for the fork server's imports
_START = (
    "import sys; sys.path.insert(0, {root!r}); from multiscale_transformer.sandbox.fork_server import main; main({fd}, {rung})"
)
WAIT_BESIDE = 30.0  # seconds that a fork server may take beyond a program's own time


class Sandbox:
    """A fork server and what it runs. Threads may share one: their programs take turns."""

    def __init__(self, limits: Limits | None = None, *, minimum: Rung = TRUSTED_FROM, most: Rung = Rung.NAMESPACES) -> None:
        """Start the fork server on the highest rung up to `most` that holds.

        Raises AxlError where that is below `minimum`.
        """
        self.limits = limits or Limits()
        self._lock, self._folder = threading.Lock(), tempfile.mkdtemp(prefix="axl-sandbox-")
        os.chmod(self._folder, 0o711)  # the programs of root run as another user, who must reach their own folder in it
        self._count = 0
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._start(most, minimum)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None) -> None:
        self.close()

    def run_python(self, source: str, *, limits: Limits | None = None, stdin: str = "") -> Outcome:
        """Run Python source text as a program of one file."""
        return self.run(Program(files={MAIN: source}, python=MAIN, stdin=stdin), limits=limits)

    def run(self, program: Program, *, limits: Limits | None = None, prepare: Callable[[Path], None] | None = None) -> Outcome:
        """Run a program in a new scratch folder, which `prepare` may fill further and which is removed afterwards.

        Raises AxlError where the fork server dies, and for a program that is neither a file of its own nor a command.
        """
        if (program.python is None) == (not program.command):
            raise AxlError("a program is either a Python file or a command")
        with self._lock:
            self._count += 1
            scratch = Path(self._folder) / str(self._count)
            scratch.mkdir(mode=0o700)
            try:
                _write(scratch, program.files)
                if prepare is not None:
                    prepare(scratch)
                outcome = self._ask(program, limits or self.limits, scratch)
                return outcome.model_copy(update={"files": _results(scratch, program.results)}) if program.results else outcome
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def close(self) -> None:
        """End the fork server, and with it all that it runs."""
        self._stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ask(self, program: Program, limits: Limits, scratch: Path) -> Outcome:
        request = {"program": program.model_dump(), "limits": limits.model_dump(), "scratch": str(scratch)}
        self._connection.settimeout(limits.seconds + WAIT_BESIDE)
        try:
            self._stream.write(json.dumps(request).encode() + b"\n")
            self._stream.flush()
            answer = self._stream.readline()
        except OSError as error:
            self._restart()
            raise AxlError(f"the sandbox's fork server did not answer and was started again: {error}") from None
        if not answer:
            self._restart()
            raise AxlError("the sandbox's fork server had ended and was started again")
        return Outcome.model_validate_json(answer)

    def _start(self, most: Rung, minimum: Rung) -> None:
        reasons = []
        for rung in sorted(Rung, reverse=True):
            if rung > most or rung < max(minimum, Rung.LIMITS):
                continue
            self.rung = rung
            reason = self._start_on(rung) or self._broken_claims(rung)
            if reason is None:
                return
            reasons.append(f"{rung.name.lower()}: {reason}")
            self._stop()
        what = "; ".join(reasons) or f"this system ({sys.platform}) has no rung of it"
        raise AxlError(f"untrusted code is not run here: the sandbox does not hold ({what})")

    def _start_on(self, rung: Rung) -> str | None:
        """Start the fork server on a rung; why it did not get there, else None."""
        if sys.platform != "linux":
            return f"there is no such thing on {sys.platform}"
        ours, theirs = socket.socketpair()
        self._connection = ours
        with theirs:
            code = _START.format(root=str(_ROOT), fd=theirs.fileno(), rung=int(rung))
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-P", "-B", "-c", code],
                pass_fds=[theirs.fileno()],
                cwd=self._folder,
                env={"PYTHONHASHSEED": "0", "LANG": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._stream = ours.makefile("rwb")
        ours.settimeout(WAIT_BESIDE)
        greeting = self._stream.readline()
        return str(json.loads(greeting)["error"] or "") or None if greeting else "the fork server did not start"

    def _broken_claims(self, rung: Rung) -> str | None:
        """Which claims of the rung a program of ours gets past; None where all hold."""
        try:
            outcome = self.run_python(PROBE, limits=Limits())
        except AxlError as error:
            return str(error)
        return escapes(rung, outcome)

    def _restart(self) -> None:
        """Take a new fork server on the rung that held. Raises AxlError where it does not start."""
        self._stop()
        if reason := self._start_on(self.rung):
            raise AxlError(f"the sandbox's fork server has ended and does not start again: {reason}")

    def _stop(self) -> None:
        if self._process is not None:
            self._connection.close()
            kill_descendants(self._process.pid)
            self._process.kill()
            self._process.wait()
            self._process = None


def _results(scratch: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Regular files of a scratch folder whose program has ended. A link of it could lead anywhere, so none is followed."""
    found = {}
    for name in names:
        if "/" in name:
            raise AxlError(f"the result {name!r} of a program does not lie in its folder")
        try:
            handle = os.open(scratch / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        with open(handle, "rb") as file:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                found[name] = file.read(RESULT_BYTES).decode(errors="replace")
    return found


def _write(scratch: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = scratch / name
        if not path.resolve().is_relative_to(scratch.resolve()):
            raise AxlError(f"the file {name!r} of a program lies outside its folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
