"""Whether the sandbox holds what its rung claims: a program of ours that tries to get out, and what its answers mean.

It runs once for each sandbox, before any other program. A kernel that has Landlock but was started without it, a container that
filters the calls, a user namespace that a profile of the distribution forbids: all of them show here and nowhere else.
"""

from __future__ import annotations

import json

from multiscale_transformer.sandbox.limits import Outcome, Rung

PROBE = """
import json, os, resource, socket

def works(attempt):
    try:
        attempt()
    except BaseException:
        return False
    return True

print(json.dumps({
    "scratch": works(lambda: open("probe", "w").close()),
    "read": works(lambda: open("/etc/hostname").read()) or works(lambda: open("/etc/passwd").read()),
    "write": any(works(lambda: open(f"/{folder}/axl-probe", "w").close()) for folder in ("tmp", "dev/shm", "var/tmp")),
    "udp": works(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
    "unix": works(lambda: socket.socket(socket.AF_UNIX)),
    "signal": works(lambda: os.kill(os.getppid(), 0)) and os.getppid() > 1,
    "memory": resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY,
    "alone": os.getpid() < 10,
}))
"""

_CLOSED = ("read", "write", "udp", "unix", "signal")  # from Rung.LANDLOCK on


def escapes(rung: Rung, outcome: Outcome) -> str | None:
    """What the probe could do that `rung` says a program cannot, in a few words; None where nothing."""
    try:
        found: dict[str, bool] = json.loads(outcome.stdout)
    except ValueError:
        return f"a first program did not run: {(outcome.stderr or outcome.status).strip().splitlines()[-1]}"
    open_ = [name for name in _CLOSED if rung >= Rung.LANDLOCK and found[name]]
    open_ += ["memory"] if found["memory"] else []
    open_ += ["processes"] if rung >= Rung.NAMESPACES and not found["alone"] else []
    open_ += ["no scratch folder"] if not found["scratch"] else []
    return f"a first program got past it: {', '.join(open_)}" if open_ else None
