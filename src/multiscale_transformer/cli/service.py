"""`axl service`: a server that starts when its user logs in, under systemd (Linux) or launchd (macOS)."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from multiscale_transformer.cli.main import COMMANDS, load
from multiscale_transformer.cli.options import NO_MEMORY
from multiscale_transformer.cli.ui import note, out, print_field
from multiscale_transformer.data.named_sources import NAMED_SOURCES
from multiscale_transformer.errors import AxlError
from multiscale_transformer.zoo.shipped import SHIPPED

NAME = "axl"
LABEL = "org.axl.server"
PATHS: dict[str, tuple[str, ...]] = {  # the options that take one, and which of their values are none
    "--model": ("", SHIPPED),
    "--memory": (*NAMED_SOURCES, NO_MEMORY),
    **dict.fromkeys(("--tls-cert", "--tls-key", "--tls-ca"), ()),
}

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=COMMANDS["service"][1])


@dataclass(frozen=True)
class Manager:
    """What starts services here: the file it reads, and its commands to begin and to end one."""

    path: Path
    text: Callable[[list[str]], str]
    begin: list[list[str]]
    end: list[list[str]]


@app.command("install", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def install(
    words: Annotated[list[str] | None, typer.Argument(metavar="[ARGUMENTS OF AXL SERVE]…")] = None,
    show: Annotated[bool, typer.Option("--show", metavar="", help="Print the file, and change nothing.")] = False,
) -> None:
    """Start a server now and at every login, with the arguments that axl serve would get.

    axl service install ~/src/mine --fim-timeout-ms 350
    """
    manager, line = _manager(), [sys.executable, "-m", "multiscale_transformer", "serve", *_checked(words or [])]
    text = manager.text(line)
    if show:
        out.print(text, markup=False, highlight=False, soft_wrap=True, end="")
        note(f"this would stand in {manager.path}")
        return
    from multiscale_transformer import files

    files.write_text(manager.path, text, files.PRIVATE)
    print_field("Written", str(manager.path))
    _run(manager.begin)


@app.command("uninstall")
def uninstall() -> None:
    """End the server, and start it no more."""
    manager = _manager()
    if not manager.path.exists():
        raise AxlError(f"no service is installed: there is no {manager.path}")
    try:
        _run(manager.end)
    finally:  # or it would start again at the next login
        manager.path.unlink()
        print_field("Deleted", str(manager.path))


def systemd_unit(line: list[str]) -> str:
    """A user unit of systemd; its words are quoted as systemd reads them."""
    escapes = str.maketrans({"\\": "\\\\", '"': '\\"', "%": "%%", "$": "$$"})
    quoted = " ".join(f'"{word.translate(escapes)}"' for word in line)
    return (
        "[Unit]\nDescription=AXL, code completion on this machine\n\n"
        f"[Service]\nExecStart={quoted}\nRestart=on-failure\nNice=5\nNoNewPrivileges=yes\n\n"
        "[Install]\nWantedBy=default.target\n"
    )


def launchd_agent(line: list[str]) -> str:
    """A user agent of launchd."""
    fields = {"Label": LABEL, "ProgramArguments": line, "RunAtLoad": True, "KeepAlive": {"SuccessfulExit": False}}
    return plistlib.dumps(fields).decode()


def _manager() -> Manager:
    if sys.platform == "darwin":
        path = Path.home() / "Library" / "LaunchAgents" / f"{LABEL}.plist"
        return Manager(path, launchd_agent, [["launchctl", "load", str(path)]], [["launchctl", "unload", str(path)]])
    if sys.platform == "win32":
        raise AxlError("there is no service on Windows yet; put axl serve into the task scheduler")
    path = Path.home() / ".config" / "systemd" / "user" / f"{NAME}.service"
    control, unit = ["systemctl", "--user"], f"{NAME}.service"
    begin = [[*control, "daemon-reload"], [*control, "enable", "--now", unit]]
    return Manager(path, systemd_unit, begin, [[*control, "disable", "--now", unit]])


def _checked(words: list[str]) -> list[str]:
    """The arguments for axl serve, with paths as any folder can call them. Raises what reading them raises."""
    serve, option = load("serve"), ""
    checked: list[str] = []
    serve.make_context("axl serve", list(words))
    flags = {"--", *(name for known in serve.params if getattr(known, "is_flag", False) for name in known.opts)}
    for word in words:
        name, equals, value = word.partition("=")
        if option or not word.startswith("--"):
            checked.append(_absolute(option, word))
            option = ""
        elif equals:
            checked.append(f"{name}={_absolute(name, value)}")
        else:
            checked.append(word)
            option = "" if word in flags else word
    return checked


def _absolute(option: str, word: str) -> str:
    """The value of an option, or a project where there is none."""
    return word if option and word in PATHS.get(option, (word,)) else str(Path(word).expanduser().resolve())


def _run(commands: list[list[str]]) -> None:
    for command in commands:
        if shutil.which(command[0]) is None:
            note(f"{command[0]} is not here; run this where it is: {' '.join(command)}")
            continue
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr or done.stdout).strip().splitlines()
            raise AxlError(f"{' '.join(command)} failed ({reason[-1] if reason else done.returncode})")
