"""What git tracks, read from `.git/index` without git.

Asking git runs what the folder's own configuration names (`core.fsmonitor`, hooks, filters, aliases, `include.path` …), and a
folder that came as an archive brings its configuration along. It also refuses where the folder belongs to someone else. The
index is a plain list of names (gitformat-index(5)), so it is read here, and nothing is run. It is parsed by hand because it is
as hostile as the rest: a crafted file makes dulwich's reader, the library for this, need hours or all memory.
"""

from __future__ import annotations

import re
import struct

from multiscale_transformer.data.reading import read_whole

_MAX_BYTES = 1 << 28  # of an index: two million files
_MAX_NAME = 4096
_FIXED = 40  # bytes of an entry before the object's hash: times, device, inode, mode, owner, size


class UnreadableIndexError(ValueError):
    """The index is damaged or of a kind that is not known; the text says which."""


def tracked_names(git_folder: str, hash_bytes: int = 20) -> set[bytes]:
    """Names of the tracked files, relative to the top of the repository; of submodules their folders.

    `git_folder` is the (native) folder that holds `index`. Raises UnreadableIndexError; no index is an empty one.
    """
    names, shared = _names(_content(f"{git_folder}/index", missing=b""), hash_bytes)
    if shared is not None:  # a split index: most names are in a second file
        names |= _names(_content(f"{git_folder}/sharedindex.{shared}"), hash_bytes)[0]
    return names


def _content(path: str, missing: bytes | None = None) -> bytes:
    content = read_whole(path, _MAX_BYTES)
    if content is None:
        content = missing
    if content is None:
        raise UnreadableIndexError("a part of it is missing")
    return content


def _names(index: bytes, hash_bytes: int) -> tuple[set[bytes], str | None]:
    """The names of one file and, where it goes on from a shared one, the hash in that one's name."""
    if not index:
        return set(), None
    if len(index) < 12 or index[:4] != b"DIRC":
        raise UnreadableIndexError("it is damaged")
    version, count = struct.unpack(">LL", index[4:12])
    if version not in (2, 3, 4):
        raise UnreadableIndexError(f"its version {version} is not known")
    names, at, name = set(), 12, b""
    for _ in range(count):
        name, at = _entry(index, at, name, version, hash_bytes)
        if name:  # an entry that a split index changes has none
            names.add(name)
    return names, _shared(index, at, hash_bytes)


def _entry(index: bytes, begin: int, previous: bytes, version: int, hash_bytes: int) -> tuple[bytes, int]:
    """The name of the entry at `begin`, and where the next one begins."""
    at = begin + _FIXED + hash_bytes
    flags = int.from_bytes(index[at : at + 2])
    at += 4 if flags & 0x4000 and version >= 3 else 2
    prefix = b""
    if version == 4:
        shortened, at = _varint(index, at)
        if shortened > len(previous):
            raise UnreadableIndexError("it is damaged")
        prefix = previous[: len(previous) - shortened]
    end = index.find(b"\0", at, at + _MAX_NAME + 1)
    if end < 0 or len(prefix) + end - at > _MAX_NAME:
        raise UnreadableIndexError("it is damaged")
    after = end + 1 if version == 4 else begin + ((end - begin + 8) & ~7)
    return prefix + index[at:end], after


def _varint(index: bytes, at: int) -> tuple[int, int]:
    """A number in git's variable-length form (varint.c), and where it ends."""
    value = 0
    for place in range(at, min(at + 5, len(index))):
        byte = index[place]
        value = (value << 7) | (byte & 127)
        if byte < 128:
            return value, place + 1
        value += 1
    raise UnreadableIndexError("it is damaged")


def _shared(index: bytes, at: int, hash_bytes: int) -> str | None:
    """The hash in the extension `link` behind the entries, if there is one."""
    while at + 8 <= len(index) - hash_bytes and re.fullmatch(rb"[A-Za-z]{4}", index[at : at + 4]):
        size = int.from_bytes(index[at + 4 : at + 8])
        if index[at : at + 4] == b"link":
            return index[at + 8 : at + 8 + hash_bytes].hex()
        at += 8 + size
    return None
