"""The two settings of git that say what a folder holds: `core.excludesFile` and `extensions.objectFormat`.

The configuration of a repository is read as text, and nothing that it names is run or included. The user's own may include
other files, as it does for git.
"""

from __future__ import annotations

import os
import re

from multiscale_transformer.data.reading import read_whole

_MAX_BYTES = 1 << 20
_MAX_DEPTH = 5  # files that include files
_SECTION = re.compile(r"\[\s*([A-Za-z0-9.-]+)(?:\s+\"([^\"]*)\")?\s*\]")


def settings_in(path: str, *, includes: bool = False, depth: int = 0) -> dict[str, str]:
    """Values by `section.key` in lower case, the last one of each; of a file that cannot be read none."""
    content = read_whole(path, _MAX_BYTES, follow=includes)
    settings: dict[str, str] = {}
    section = ""
    for line in (content or b"").decode("utf-8", "surrogateescape").splitlines():
        text = line.strip()
        heading = _SECTION.match(text)
        if heading:
            section = ".".join(filter(None, heading.groups()))
            text = text[heading.end() :].strip()
        key, equals, value = text.partition("=")
        if not equals or not section or key.startswith(("#", ";")):
            continue
        name = f"{section}.{key.strip()}".lower()
        settings[name] = _unquoted(value.strip())
        if includes and name == "include.path" and depth < _MAX_DEPTH:
            inner = os.path.join(os.path.dirname(path), os.path.expanduser(settings[name]))
            settings |= settings_in(inner, includes=True, depth=depth + 1)
    return settings


def user_settings() -> dict[str, str]:
    """The settings of this machine and this user, as git finds them (git-config(1), FILES)."""
    settings: dict[str, str] = {}
    if not os.environ.get("GIT_CONFIG_NOSYSTEM"):
        settings |= settings_in(os.environ.get("GIT_CONFIG_SYSTEM", "/etc/gitconfig"), includes=True)
    named = os.environ.get("GIT_CONFIG_GLOBAL")
    for path in [named] if named is not None else [_in_xdg("config"), os.path.expanduser("~/.gitconfig")]:
        settings |= settings_in(path, includes=True)
    return settings


def excludes_file(repository: dict[str, str], top: str) -> str:
    """The file of patterns that hold in all repositories of this user, or that the one at `top` names instead."""
    named = {**user_settings(), **repository}.get("core.excludesfile")
    return os.path.join(top, os.path.expanduser(named)) if named else _in_xdg("ignore")


def _in_xdg(name: str) -> str:
    return os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "git", name)


def _unquoted(value: str) -> str:
    """A value without its comment and quotes."""
    quoted = re.match(r'"((?:[^"\\]|\\.)*)"', value)
    if quoted:
        return re.sub(r"\\(.)", r"\1", quoted[1])
    return re.split(r"\s[#;]", value)[0].strip()
