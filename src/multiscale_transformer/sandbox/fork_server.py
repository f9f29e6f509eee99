"""The process that programs are forked from: a warm interpreter, in namespaces of its own, that runs one program at a time.

It is started by `sandbox.run`, speaks JSON lines over one socket and trusts its other end alone. For each request it forks, in
a namespace of process ids of its own where the machine has them, lets the child close itself off and run (`sandbox.worker`),
reads its output up to the limit, and kills whatever is left: with the namespace, or by going through its own descendants, to
whom it is the nearest living ancestor.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from typing import Any

from multiscale_transformer.sandbox import confine, syscalls
from multiscale_transformer.sandbox.descendants import kill_descendants
from multiscale_transformer.sandbox.limits import Limits, Outcome, Program, Rung, Status
from multiscale_transformer.sandbox.worker import BROKEN, END_OF_REPORT, Confinement, become

WARM = (  # imported before any program asks for them: what short programs begin with
    "math", "re", "collections", "itertools", "functools", "heapq", "bisect", "string", "random", "typing", "json", "copy",
    "operator", "datetime", "decimal", "fractions", "statistics", "hashlib", "dataclasses", "enum", "unittest",
)  # fmt: skip
POLL_SECONDS = 0.05  # between two looks at the clock while a program is silent
REAP_SECONDS = 0.001  # between two rounds of killing what is left
CHUNK = 1 << 16


class ForkServer:
    """One machine's rung, and the loop that serves it."""

    def __init__(self, rung: Rung) -> None:
        self.rung = rung
        user = confine.FIRST_USER + os.getpid() % confine.USERS if os.geteuid() == 0 else None
        if rung >= Rung.NAMESPACES:
            self._enter_namespaces()
        before = 0 if user is not None or rung >= Rung.NAMESPACES else _own_processes()
        self._confinement = Confinement(rung, user, before)
        if sys.platform == "linux":
            syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)

    def _enter_namespaces(self) -> None:
        uid, gid = os.geteuid(), os.getegid()
        shared = syscalls.CLONE_NEWNET | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWNS
        if uid == 0:
            syscalls.unshare(shared)
            return
        syscalls.unshare(shared | syscalls.CLONE_NEWUSER)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)

    def serve(self, connection: socket.socket) -> None:
        """Answer requests until the other end is closed."""
        with connection, connection.makefile("rwb") as stream:
            for line in stream:
                request: dict[str, Any] = json.loads(line)
                outcome = self.run(
                    Program.model_validate(request["program"]), Limits.model_validate(request["limits"]), request["scratch"]
                )
                stream.write(outcome.model_dump_json().encode() + b"\n")
                stream.flush()

    def run(self, program: Program, limits: Limits, scratch: str) -> Outcome:
        """Run one program in `scratch`, which holds its files already."""
        if self._confinement.user is not None:
            _give(scratch, self._confinement.user)
        began = time.perf_counter()
        (out_read, out_write), (err_read, err_write), (told_read, told_write) = os.pipe(), os.pipe(), os.pipe()
        pid = self._fork(program, limits, scratch, (out_write, err_write), told_write)
        for end in (out_write, err_write, told_write):
            os.close(end)
        texts, status = _watched(
            pid, {out_read: bytearray(), err_read: bytearray()}, began + limits.seconds, limits.output_bytes
        )
        exit_status = self._end(pid, told_read)
        seconds = time.perf_counter() - began
        stdout, stderr = (bytes(texts[end]).decode(errors="replace") for end in (out_read, err_read))
        if status == "ok" and exit_status != 0:
            status = "failed"
        return Outcome(status=status, exit_status=exit_status, stdout=stdout, stderr=stderr, seconds=seconds)

    def _fork(self, program: Program, limits: Limits, scratch: str, ends: tuple[int, int], told: int) -> int:
        """The process to wait for: the worker, or the first process of its namespace, which tells how the worker has ended."""
        namespaces = self.rung >= Rung.NAMESPACES
        pid = syscalls.fork_into(syscalls.CLONE_NEWPID) if namespaces else os.fork()
        if pid:
            return pid
        try:
            if sys.platform == "linux":
                syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
            if namespaces:
                worker = os.fork()
                if worker:
                    for end in ends:
                        os.close(end)
                    while True:
                        ended, waited = os.wait()
                        if ended == worker:
                            os.write(told, str(waited).encode())
                            os._exit(0)
            os.setsid()
            become(program, limits, scratch, self._confinement, *ends, told)
        finally:
            os._exit(BROKEN)

    def _end(self, pid: int, told: int) -> int:
        """The exit status of the process, killed with all its descendants where they still live.

        Raises OSError where the worker has told that it could not close itself off.
        """
        namespaces = self.rung >= Rung.NAMESPACES
        if namespaces:
            os.kill(pid, signal.SIGKILL)  # the first process of a namespace takes all others with it; a zombie does not mind
        statuses = {}
        while True:
            if not namespaces:
                kill_descendants(os.getpid())
            try:
                child, waited = os.waitpid(-1, 0 if namespaces else os.WNOHANG)
            except ChildProcessError:
                break
            if child:
                statuses[child] = waited
            else:
                time.sleep(REAP_SECONDS)  # no more: who was in the middle of a fork may have left a child that no look has seen
        with open(told, encoding="ascii") as file:
            words = file.read()
        broken, mark, ended = words.rpartition(END_OF_REPORT)
        if mark:
            raise OSError(broken)
        return os.waitstatus_to_exitcode(int(ended or statuses[pid]))


def _watched(pid: int, texts: dict[int, bytearray], deadline: float, most: int) -> tuple[dict[int, bytearray], Status]:
    """Read both outputs until the process has ended, the deadline has passed or one of them is longer than `most`."""
    status: Status = "ok"
    ended = os.pidfd_open(pid)
    with selectors.DefaultSelector() as selector:
        for end in (*texts, ended):
            selector.register(end, selectors.EVENT_READ)
        open_ends = set(texts)
        while True:
            if time.perf_counter() > deadline:
                status = "timeout"
                break
            ready = {key.fd for key, _ in selector.select(min(POLL_SECONDS, max(0.0, deadline - time.perf_counter())))}
            for end in ready & open_ends:
                chunk = os.read(end, CHUNK)
                texts[end] += chunk[: most + 1 - len(texts[end])]
                if not chunk:
                    selector.unregister(end)
                    open_ends.discard(end)
            if any(len(text) > most for text in texts.values()):
                status = "output"
                break
            if ended in ready and not ready & open_ends:
                break
    for end in (*texts, ended):
        os.close(end)
    return {end: text[:most] for end, text in texts.items()}, status


def _own_processes() -> int:
    """Threads of this user, which the limit on processes counts where there is no namespace of users."""
    count, user = 0, os.getuid()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == user:
                    count += len(os.listdir(f"/proc/{name}/task"))
            except OSError:
                continue
    return count


def _give(scratch: str, user: int) -> None:
    for folder, _, files in os.walk(scratch):
        for path in (folder, *(os.path.join(folder, name) for name in files)):
            os.chown(path, user, user, follow_symlinks=False)


def main(connection: int, rung: int) -> None:
    """Serve on a file descriptor that was inherited; the first line out says that the rung was reached, or why not."""
    for name in WARM:
        importlib.import_module(name)
    link = socket.socket(fileno=connection)
    try:
        server = ForkServer(Rung(rung))
    except OSError as error:
        link.sendall(json.dumps({"error": str(error)}).encode() + b"\n")
        return
    gc.freeze()  # pages that the collector does not touch stay shared with the children
    link.sendall(b'{"error": null}\n')
    server.serve(link)
