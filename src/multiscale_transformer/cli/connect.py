"""`axl connect`: an editor's or agent's settings for a server, printed, or written with a way back."""

from __future__ import annotations

import base64
import http.client
import json
import stat
import urllib.request
from pathlib import Path
from typing import Annotated, Any

import typer

from multiscale_transformer.cli.client_settings import CLIENTS, NO_KEY, Client, Server, shown
from multiscale_transformer.cli.ui import command, note, out, print_command, print_field
from multiscale_transformer.errors import AxlError

DEFAULT_URL = "http://127.0.0.1:8880"
SECONDS = 3.0  # to wait for the server


def connect(
    client: Annotated[str | None, typer.Argument(metavar="CLIENT", help=f"One of {', '.join(CLIENTS)}.")] = None,
    url: Annotated[str, typer.Option(metavar="URL", help="Where axl serve answers.")] = DEFAULT_URL,
    key: Annotated[str, typer.Option(metavar="KEY", help="The server's key, if it has one.")] = NO_KEY,
    write: Annotated[bool, typer.Option("--write", metavar="", help="Put the settings into the client's file.")] = False,
    undo: Annotated[bool, typer.Option("--undo", metavar="", help="Put the file back as it was before --write.")] = False,
) -> None:
    """Show the settings with which an editor or agent uses a server of yours, or write them.

    The server is asked for its model. With --write the client's file keeps all else that it has; --undo brings every byte back,
    unless somebody has changed the file meanwhile.

        axl connect
        axl connect continue
        axl connect claude-code --write
        axl connect claude-code --undo
    """
    if client is None:
        if write or undo:
            raise AxlError(f"--write and --undo go with a CLIENT: {', '.join(CLIENTS)}")
        _list()
        return
    if client not in CLIENTS:
        raise AxlError(f"{client} is not known; there are {', '.join(CLIENTS)}")
    chosen = CLIENTS[client]
    if write and undo:
        raise AxlError("--write and --undo contradict each other")
    if undo:
        _undo(client)
        return
    server = _server(url.rstrip("/"), key)
    if server.key != NO_KEY and chosen.variables:
        note(f"{client} takes the key from its environment: set {' and '.join(chosen.variables)}")
    if not write:
        out.print(shown(chosen, server), markup=False, highlight=False, soft_wrap=True, end="")
        note(f"this belongs into {chosen.path()}; --write puts it there")
        return
    _write(client, chosen, server)


def _list() -> None:
    for name, client in CLIENTS.items():
        print_field(name, str(client.path()))
    out.print()
    print_command(command("connect", next(iter(CLIENTS))))


def _server(url: str, key: str) -> Server:
    """The server at an address, with the name and the context of its first model. Raises AxlError where none answers."""
    if not url.startswith(("http://", "https://")):
        raise AxlError(f"{url} is no address of a server; it begins with http:// or https://")
    try:
        request = urllib.request.Request(f"{url}/v1/models", headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            first = json.load(answer)["data"][0]
            return Server(url, str(first["id"]), int(first.get("max_model_len") or 2048), key)
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
        raise AxlError(f"no server of ours answers at {url} ({error}); start one with axl serve") from None


def _write(name: str, client: Client, server: Server) -> None:
    from multiscale_transformer import files

    path, journal = client.path().resolve(), _journal(name)  # a link stays: what it leads to is written
    old = path.read_bytes() if path.exists() else None
    mode = files.PRIVATE if old is None else stat.S_IMODE(path.stat().st_mode)
    try:
        text = client.merge(str(path), (old or b"").decode(), client.settings(server))
    except UnicodeDecodeError:
        raise AxlError(f"{path} is no UTF-8, so it is not rewritten; put the settings in by hand") from None
    ours = journal.exists() and _is_ours(journal, old)
    before = _read(journal) if ours else {"before": _packed(old), "mode": mode}
    files.write_json(journal, {**before, "path": str(path), "written": _packed(text.encode())}, files.PRIVATE)
    files.write_text(path, text, mode)
    if mode & 0o077 and server.key != NO_KEY and not client.variables:
        note(f"others may read {path}, which holds the key; chmod 600 keeps it to you")
    print_field("Written", str(path))
    print_field("Next", client.then)
    print_command(command("connect", name, "--undo"))


def _undo(name: str) -> None:
    from multiscale_transformer import files

    journal = _journal(name)
    if not journal.exists():
        raise AxlError(f"nothing was written for {name}, so there is nothing to undo")
    kept = _read(journal)
    path = Path(kept["path"])
    if not _is_ours(journal, path.read_bytes() if path.exists() else None):
        raise AxlError(f"{path} was changed since; take the settings out by hand")
    if kept["before"] is None:
        path.unlink()
    else:
        files.write_bytes(path, base64.b64decode(kept["before"]), kept["mode"])
    journal.unlink()
    print_field("Undone", str(path))


def _journal(name: str) -> Path:
    from platformdirs import user_data_path

    return user_data_path("axl", appauthor=False) / "connect" / f"{name}.json"


def _read(journal: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(journal.read_text(encoding="utf-8"))
        return {"path": found["path"], "before": found["before"], "written": found["written"], "mode": found.get("mode")}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise AxlError(f"{journal} is damaged ({error}); take the settings out by hand, and delete it") from error


def _is_ours(journal: Path, content: bytes | None) -> bool:
    """Whether a file is still as it was written."""
    return content is not None and _read(journal)["written"] == _packed(content)


def _packed(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()
