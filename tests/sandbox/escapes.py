"""Programs that try to get out of the sandbox. Each prints ESCAPED where it succeeds.

They are given what lies outside as a dictionary `outside`: a file and a folder that anybody may write, a Unix socket and its
abstract sister, a TCP and a UDP port that listen, and a process to harm. With `control` the program succeeds where only limits
hold (`Rung.LIMITS`), so it would be seen if the sandbox let it through.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NOBODY = 65534


@contextlib.contextmanager
def outside() -> Iterator[dict[str, Any]]:
    """What the programs go for, all of it open to everybody. The process is there until the end, unless one harms it."""
    target, name = Path(tempfile.mkdtemp(prefix="axl-outside-", dir="/tmp")), f"axl-outside-{os.getpid()}"
    target.chmod(0o777)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, target, ignore_errors=True)
        (target / "file").write_text("secret")
        (target / "file").chmod(0o666)
        tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        unix, abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        addresses: list[tuple[socket.socket, Any]] = [
            (tcp, ("127.0.0.1", 0)),
            (udp, ("127.0.0.1", 0)),
            (unix, str(target / "s")),
            (abstract, f"\0{name}"),
        ]
        for link, address in addresses:
            stack.enter_context(link).bind(address)
        for link in (tcp, unix, abstract):
            link.listen()
        (target / "s").chmod(0o777)
        process = stack.enter_context(subprocess.Popen(["sleep", "3600"], user=NOBODY if os.geteuid() == 0 else None))
        stack.callback(process.kill)
        ports = {"tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1]}
        places = {"file": str(target / "file"), "folder": str(target), "unix": str(target / "s")}
        yield {**ports, **places, "abstract": name, "process": process.pid}
        assert process.poll() is None, "a program has ended a process outside"


@dataclass(frozen=True)
class Escape:
    name: str
    program: str
    control: bool = False


def _does(name: str, statement: str, *, control: bool = False) -> Escape:
    """An escape that has succeeded when a statement raises nothing."""
    return Escape(name, f"{statement}\nprint('ESCAPED')", control)


def _call(name: str, number: str, *arguments: str) -> Escape:
    """An escape that is a call of the kernel, which Python has no function for."""
    values = ", ".join(arguments)
    return Escape(
        f"call {name}",
        f"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nif libc.syscall({number}, {values}) >= 0: print('ESCAPED')",
    )


_LINK = "import os; os.symlink(outside['file'], 'link'); "
_INHERITED = """
import os
for fd in range(3, 60):
    try:
        os.fstat(fd)
    except OSError:
        continue
    break
else:
    raise SystemExit"""
_SHARED = "import os; name = f'/dev/shm/axl-{os.urandom(8).hex()}'; open(name, 'w').write('x'); os.unlink(name)"

FILES = [
    _does("read a file", "open(outside['file']).read()", control=True),
    _does("read what everybody may", "open('/etc/passwd').read()", control=True),
    _does("write a file", "open(outside['file'], 'w').write('x')", control=True),
    _does("make a file", "open(outside['folder'] + '/new', 'w')", control=True),
    _does("list a folder", "import os; os.listdir(outside['folder'])", control=True),
    _does("list the root", "import os; os.listdir('/')", control=True),
    _does("read through a symbolic link", f"{_LINK} open('link').read()", control=True),
    _does("write through a symbolic link", f"{_LINK} open('link', 'a').write('x')", control=True),
    _does("through the folder above", "import os; open(os.path.relpath(outside['file'])).read()", control=True),
    _does("through /proc/self/root", "open('/proc/self/root' + outside['file']).read()", control=True),
    _does("truncate a file", "import os; os.truncate(outside['file'], 0)", control=True),
    _does("delete a file", "import os; os.unlink(outside['file'])", control=True),
    _does("hard link into the scratch folder", "import os; os.link(outside['file'], 'hard'); open('hard', 'w')"),
    _does("move a file out", "import os; open('mine', 'w'); os.rename('mine', outside['folder'] + '/mine')", control=True),
    _does("move a file in", "import os; os.rename(outside['file'], 'theirs'); open('theirs').read()", control=True),
    _does("make a device", "import os, stat; os.mknod('device', stat.S_IFBLK | 0o600, os.makedev(8, 0))"),
    _does("write shared memory", _SHARED, control=True),
    _does("read the memory of the parent", "import os; open(f'/proc/{os.getppid()}/mem', 'rb').read(1)"),
    _does("read the environment of a process", "open(f'/proc/{outside[\"process\"]}/environ').read()"),
    _does("read the commands of others", "open(f'/proc/{outside[\"process\"]}/cmdline').read()", control=True),
    _does("an inherited file", _INHERITED),
]

_SOCKET = "import socket; socket."

SOCKETS = [
    _does("connect by TCP", f"{_SOCKET}create_connection(('127.0.0.1', outside['tcp']), 1)", control=True),
    _does("listen", f"{_SOCKET}create_server(('127.0.0.1', 0))", control=True),
    _does("send by UDP", f"{_SOCKET}socket(type=2).sendto(b'x', ('127.0.0.1', outside['udp']))", control=True),
    _does("ask for a name", f"{_SOCKET}getaddrinfo('example.invalid.', 80)"),
    _does("a Unix socket", f"{_SOCKET}socket(1).connect(outside['unix'])", control=True),
    _does("an abstract Unix socket", f"{_SOCKET}socket(1).connect(chr(0) + outside['abstract'])", control=True),
    _does("a raw socket", f"{_SOCKET}socket(socket.AF_INET, socket.SOCK_RAW, 1)"),
    _does("a packet socket", f"{_SOCKET}socket(socket.AF_PACKET, socket.SOCK_RAW)"),
    _does("netlink", f"{_SOCKET}socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)", control=True),
    _does("a virtual machine's socket", f"{_SOCKET}socket(socket.AF_VSOCK, socket.SOCK_STREAM)"),
]

PROCESSES = [
    _does("signal the parent", "import os; assert os.getppid() > 1; os.kill(os.getppid(), 0)"),
    _does("signal a process", "import os; os.kill(outside['process'], 0)"),
    _does("kill everything", "import os, signal; os.kill(-1, signal.SIGSTOP)"),
    _does("become root", "import os; os.setuid(0)"),
    _does("become another user", "import os; os.setresuid(1, 1, 1)"),
    Escape(
        "a program with the setuid bit",
        "import glob, os, stat, subprocess\n"
        "for path in glob.glob('/usr/bin/*'):\n"
        "    if os.stat(path).st_mode & stat.S_ISUID and path.endswith(('su', 'mount')):\n"
        "        seen = subprocess.run([path, '--version'], capture_output=True).returncode\n"
        "status = open('/proc/self/status').read() if os.path.exists('/proc/self/status') else ''\n"
        "if os.geteuid() == 0: print('ESCAPED')\n",
    ),
    _call("ptrace", "101 if ctypes.sizeof(ctypes.c_void_p) == 8 else 26", "16", "outside['process']", "0", "0"),
    _call("process_vm_readv", "310", "outside['process']", "0", "0", "0", "0", "0"),
    _call("pidfd_open", "434", "outside['process']", "0"),
    _call("io_uring_setup", "425", "1", "ctypes.create_string_buffer(120)"),
    _call("unshare", "272", "0x10000000"),
    _call("clone3", "435", "ctypes.create_string_buffer(88)", "88"),
    _call("setns", "308", "0", "0"),
    _call("mount", "165", "b'none'", "b'.'", "b'tmpfs'", "0", "0"),
    _call("chroot", "161", "b'.'"),
    _call("open_by_handle_at", "304", "-100", "ctypes.create_string_buffer(136)", "0"),
    _call("bpf", "321", "0", "ctypes.create_string_buffer(72)", "72"),
    _call("keyctl", "250", "0", "-3", "1"),
    _call("memfd_secret", "447", "0"),
    _call("x32", "0x40000000 + 39"),
]

ESCAPES = [*FILES, *SOCKETS, *PROCESSES]

_IGNORING = """
import signal, time
for number in range(1, 32):
    try:
        signal.signal(number, signal.SIG_IGN)
    except OSError:
        pass
while True:
    time.sleep(1)"""
_BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass"""
_DAEMON = """
import os, time
if not os.fork():
    os.setsid()
    if not os.fork():
        time.sleep(1000)"""
FLEEING = """
import os
while True:
    if os.fork():
        os._exit(0)
    os.setsid()"""
_THREADS = """
import threading, time
for _ in range(1000):
    threading.Thread(target=time.sleep, args=(100,), daemon=True).start()"""
_PROCESSES = """
import os, time
for _ in range(100):
    if not os.fork():
        time.sleep(100)"""

GREEDY = {  # programs that want more than they get; those that print ESCAPED got it
    "memory": "x = bytearray(4 << 30)\nprint('ESCAPED')",
    "memory bit by bit": "x = []\nwhile sum(map(len, x)) < 4 << 30: x.append(bytearray(1 << 20))\nprint('ESCAPED')",
    "shared memory": "import mmap\nm = mmap.mmap(-1, 4 << 30)\nprint('ESCAPED')",
    "a large file": "f = open('f', 'wb')\nfor _ in range(64): f.write(bytes(1 << 20))\nf.flush()\nprint('ESCAPED')",
    "many files": "x = [open(str(n), 'w') for n in range(1000)]\nprint('ESCAPED')",
    "many processes": f"{_PROCESSES}\nprint('ESCAPED')",
    "many threads": f"{_THREADS}\nprint('ESCAPED')",
    "a fork bomb": _BOMB,
    "output": "while True: print('x' * 1000)",
    "output to standard error": "import sys\nwhile True: print('x' * 1000, file=sys.stderr)",
    "time": "while True: pass",
    "sleep": "import time; time.sleep(1000)",
    "signals that are ignored": _IGNORING,
    "a child that sleeps on": _DAEMON,
    "a process that flees": FLEEING,
    "a child that holds the output": "import os, time\nif not os.fork(): time.sleep(1000)\nprint('done')",
    "recursion": "def f(): f()\nimport sys\nsys.setrecursionlimit(10**9)\nf()",
    "closed output": "import os\nos.close(1)\nos.close(2)\nwhile True: pass",
}
