"""Calls of Linux that Python has no function for, and their numbers on the two processors that matter.

Each function raises OSError when the kernel refuses. Nothing here decides anything: `sandbox.confine` does.
"""

from __future__ import annotations

import ctypes
import os
import platform

CLONE_NEWPID = 0x20000000
CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWNS = (
    0x10000000,
    0x40000000,
    0x08000000,
    0x04000000,
    0x00020000,
)
CLONE_NEWCGROUP, CLONE_NEWTIME = 0x02000000, 0x00000080
ANY_NAMESPACE = (
    CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWTIME
)

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = (
    1,
    8,
    22,
    36,
    38,
    47,
)

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# name: (x86_64, aarch64); -1 where the processor's kernel has no such call
NUMBERS: dict[str, tuple[int, int]] = {
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "bind": (49, 200), "listen": (50, 201),
    "clone": (56, 220), "clone3": (435, 435), "ptrace": (101, 117), "kill": (62, 129), "tkill": (200, 130),
    "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "kcmp": (312, 272),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "sethostname": (170, 161), "setdomainname": (171, 162), "personality": (135, 92), "lookup_dcookie": (212, 18),
    "fanotify_init": (300, 262), "syslog": (103, 116), "vhangup": (153, 58), "iopl": (172, -1), "ioperm": (173, -1),
    "uselib": (134, -1), "modify_ldt": (154, -1), "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190),
    "mq_open": (240, 180), "memfd_secret": (447, 447),
}  # fmt: skip
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_VERSION = 1  # the flag that asks Landlock for its version
_RULE_PATH_BENEATH = 1
_CAPABILITIES_V3 = 0x20080522
CAP_DAC_READ_SEARCH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def number(name: str) -> int:
    """The number of a call on this processor, -1 for none; the processor must be one of `AUDIT_ARCH`."""
    return NUMBERS[name][list(AUDIT_ARCH).index(platform.machine())]


def prctl(option: int, *values: int) -> None:
    """`prctl(2)`."""
    padded = (*values, 0, 0, 0, 0)[:4]
    _checked(_libc.prctl(option, *map(ctypes.c_ulong, padded)), f"prctl {option}")


def unshare(flags: int) -> None:
    """`unshare(2)`."""
    _checked(_libc.unshare(flags), "unshare")


def fork_into(flags: int) -> int:
    """`fork` into new namespaces: 0 in the child, which may only fork again or exit (libc is not told), else its id."""
    signal_child = 17
    pid: int = _libc.syscall(number("clone"), ctypes.c_ulong(flags | signal_child), None, None, None, None)
    return _checked(pid, "clone")


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def keep_capabilities(mask: int) -> None:
    """Drop all capabilities but those of `mask`, of the first 32."""
    header, data = _CapabilityHeader(_CAPABILITIES_V3, 0), (_CapabilityData * 2)(_CapabilityData(mask, mask, mask))
    _checked(_libc.capset(ctypes.byref(header), data), "capset")


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("parent", ctypes.c_int32))


def landlock_version() -> int:
    """The version of Landlock's interface, 0 where there is none."""
    return max(0, int(_libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)))


def landlock(allowed: list[tuple[str, int]], fs: int, net: int, scoped: int, size: int) -> None:
    """From now on files are reached only below the paths of `allowed`, each with the accesses named beside it.

    `fs`, `net` and `scoped` are what is handled, `size` the bytes of the structure that this version of Landlock knows.
    """
    ruleset = _Ruleset(fs, net, scoped)
    handle = _checked(
        _libc.syscall(_LANDLOCK_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), 0), "landlock_create_ruleset"
    )
    for path, access in allowed:
        try:
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # what is not there needs no rule
        rule = _PathBeneath(access, parent)
        try:
            _checked(
                _libc.syscall(_LANDLOCK_ADD_RULE, handle, _RULE_PATH_BENEATH, ctypes.byref(rule), 0), f"landlock rule {path}"
            )
        finally:
            os.close(parent)
    _checked(_libc.syscall(_LANDLOCK_RESTRICT_SELF, handle, 0), "landlock_restrict_self")
    os.close(handle)


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def seccomp(instructions: list[tuple[int, int, int, int]]) -> None:
    """Install a filter of classic BPF instructions (code, jump if true, jump if false, constant)."""
    array = (_Instruction * len(instructions))(*(_Instruction(*fields) for fields in instructions))
    program = _Filter(len(instructions), array)
    filter_mode = 2
    _checked(_libc.prctl(PR_SET_SECCOMP, filter_mode, ctypes.byref(program), 0, 0), "seccomp")


def _checked(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result
