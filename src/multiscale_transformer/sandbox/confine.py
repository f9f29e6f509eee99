"""What closes a process off before it runs code that nobody trusts: limits, another user, Landlock and seccomp.

All of it is one way: what a process has given up neither it nor its children get back. `sandbox.worker` calls these in a fresh
child, between the fork and the first line of the program; namespaces are entered before, by the fork server.

Landlock closes files, TCP, abstract Unix sockets and signals to processes outside (from its version 6 on). What it does not
know, seccomp refuses: sockets of every other kind, tracing, io_uring, new namespaces, mounts, keys and the clock; and before
version 6 signals to any process but oneself. The list is of what is refused: a program that needs a refused call gets EPERM and
can go on, where a list of what is allowed would have to know every call of every interpreter.
"""

from __future__ import annotations

import errno
import os
import platform
import resource

from multiscale_transformer.sandbox import syscalls
from multiscale_transformer.sandbox.limits import Limits

FIRST_USER, USERS = 50_000, 10_000  # user ids for the programs of root: nobody else's, one a fork server
MAPPED_BESIDE = 256 << 20  # bytes of libraries and stacks that a program maps beside its own memory

SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives", "/etc/ssl/openssl.cnf")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_IN_VERSION = ((1, 13), (2, 14), (3, 15), (5, 16))  # Landlock's version: how many accesses to files it knows
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_DEVICE = _READ_FILE | _WRITE_FILE
_MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK, _IOCTL_DEV = 1 << 6, 1 << 9, 1 << 11, 1 << 15
_SIZES = ((1, 8), (4, 16), (6, 24))  # bytes of the ruleset structure
_NET_FROM, _SCOPED_FROM = 4, 6
_SCOPES = 0b11  # abstract Unix sockets and signals


def limit(limits: Limits, processes: int, *, reserves_memory: bool) -> None:
    """Limits that the kernel counts. Memory is writable private memory and, unless it `reserves_memory`, all that is mapped."""
    memory, file = limits.memory_mb << 20, limits.file_mb << 20
    mapped = resource.RLIM_INFINITY if reserves_memory else memory + MAPPED_BESIDE
    for kind, value in (
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_AS, mapped),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, file),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_STACK, min(memory, 64 << 20)),
    ):
        hard = resource.getrlimit(kind)[1]
        capped = value if hard == resource.RLIM_INFINITY else hard if value == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (capped, capped))


def drop_root(user: int) -> None:
    """Become `user`, whom no file belongs to. Where root's right to read can be kept it is: Landlock says what is read.

    Root is exempt from the limit on processes, so a program of root's would have none.
    """
    syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    try:
        syscalls.keep_capabilities(1 << syscalls.CAP_DAC_READ_SEARCH)
        raise_ambient = 2
        syscalls.prctl(syscalls.PR_CAP_AMBIENT, raise_ambient, syscalls.CAP_DAC_READ_SEARCH)
    except OSError:
        syscalls.keep_capabilities(0)


def drop_capabilities() -> None:
    """Give up what root of a namespace may do."""
    syscalls.keep_capabilities(0)


def no_new_privileges() -> None:
    """No program that is started gains rights: setuid bits and file capabilities do nothing. The other steps need it."""
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)


def landlock(readable: list[str], scratch: str) -> None:
    """Files: read and started below `readable`, changed below `scratch` alone. Raises OSError where there is no Landlock."""
    version = syscalls.landlock_version()
    if not version:
        raise OSError(errno.ENOSYS, "there is no Landlock")
    known = (1 << max(count for since, count in _IN_VERSION if since <= version)) - 1
    write = known & ~(_MAKE_CHAR | _MAKE_BLOCK | _MAKE_SOCK | _IOCTL_DEV)
    allowed = [(path, _reading(path)) for path in (*SYSTEM, *readable)]
    allowed += [(path, _DEVICE) for path in DEVICES] + [(scratch, write)]
    net = 0b11 if version >= _NET_FROM else 0
    scoped = _SCOPES if version >= _SCOPED_FROM else 0
    size = max(bytes_ for since, bytes_ in _SIZES if since <= version)
    syscalls.landlock(allowed, known, net, scoped, size)


def _reading(path: str) -> int:
    return _READ if os.path.isdir(path) else _READ & ~_READ_DIR


_REFUSED = tuple(name for name in syscalls.NUMBERS if name not in {"clone", "clone3", "kill", "tkill", "tgkill"})
_SIGNALS = ("kill", "tkill", "tgkill")

# Classic BPF over struct seccomp_data: the number at 0, the architecture at 4, the arguments from 16 on.
_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_X32 = 0x40000000  # numbers of the x32 interface, which would go round the list


def seccomp(*, own_signals_only: bool) -> None:
    """Refuse calls that a program does not need; with `own_signals_only` also signals to any process but oneself.

    Raises OSError on processors whose numbers are not known.
    """
    arch = syscalls.AUDIT_ARCH.get(platform.machine())
    if arch is None:
        raise OSError(errno.ENOSYS, f"calls of {platform.machine()} are not known")
    code = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_EQUAL, 0, 1, syscalls.number("clone3")),
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),  # its flags lie in memory, which a filter cannot read; libc falls back
    ]
    for name in _REFUSED:
        if syscalls.number(name) >= 0:
            code += [(_EQUAL, 0, 1, syscalls.number(name)), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    code += [  # clone: threads and processes, but no namespaces
        (_EQUAL, 0, 4, syscalls.number("clone")),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_AND, 0, 0, syscalls.ANY_NAMESPACE & 0xFFFFFFFF),
        (_EQUAL, 1, 0, 0),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if own_signals_only:
        for name in _SIGNALS:
            code += [
                (_EQUAL, 0, 4, syscalls.number(name)),
                (_LOAD, 0, 0, _FIRST_ARGUMENT),
                (_EQUAL, 1, 0, os.getpid()),
                (_RETURN, 0, 0, _ERRNO | errno.EPERM),
                (_LOAD, 0, 0, _NUMBER),
            ]
    syscalls.seccomp([*code, (_RETURN, 0, 0, _ALLOW)])
