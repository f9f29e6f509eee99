"""`axl mesh`: a registry, gateways, servers that join, and how it all stands."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlsplit

import typer

from multiscale_transformer.cli.main import COMMANDS
from multiscale_transformer.cli.mesh_options import (
    Advertise,
    AllowHost,
    ApiKeys,
    Authority,
    Certificate,
    CertificateKey,
    HedgeMs,
    Host,
    MemberName,
    Patience,
    Quiet,
    Registries,
    Registry,
    Silence,
    Skills,
    Token,
    mesh_token,
    registries_of,
    tls_of,
)
from multiscale_transformer.cli.ui import new_table, note, print_error_line, print_field, print_line, show_table
from multiscale_transformer.errors import AxlError

if TYPE_CHECKING:
    from multiscale_transformer.mesh.app import MeshSettings
    from multiscale_transformer.server.runner import Tls

SECONDS = 5.0  # to wait for a registry

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=COMMANDS["mesh"][1])


@app.command("registry")
def registry(
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="Port to listen on; 0 is any free one.")] = 8900,
    host: Host = "127.0.0.1",
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What a restart finds again (default: among the user's data).")
    ] = None,
    standby: Annotated[
        bool, typer.Option("--standby", metavar="", help="Wait while another registry uses the file, then take its place.")
    ] = False,
    peer: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Another registry, which members shall report to as well.")
    ] = None,
    mdns: Annotated[
        bool, typer.Option("--mdns", metavar="", help="Let members of this network find it by themselves.")
    ] = False,
    token: Token = None,
    api_key: ApiKeys = None,
    allow_host: AllowHost = None,
    tls_cert: Certificate = None,
    tls_key: CertificateKey = None,
    tls_ca: Authority = None,
    patience: Patience = 20.0,
    hedge_ms: HedgeMs = None,
    silence: Silence = 300.0,
    quiet: Quiet = False,
) -> None:
    """Know the servers that join, and serve all their models under one address.

    axl mesh registry
    axl mesh registry --host 0.0.0.0 --token secret
    axl mesh registry --standby
    """
    from platformdirs import user_data_path

    from multiscale_transformer.mesh.app import build_app
    from multiscale_transformer.mesh.members import address
    from multiscale_transformer.mesh.registry import Registry as MeshRegistry
    from multiscale_transformer.mesh.runner import PORT_SECONDS, Charge, listen_when_free
    from multiscale_transformer.mesh.store import Store

    peers, settings = [address(url, "--peer") for url in peer or ()], _settings(locals())
    tls = tls_of(tls_cert, tls_key)
    store = Store(state or user_data_path("axl", appauthor=False) / "mesh.sqlite")
    charge = Charge(store)
    charge.take(standby=standby, say=print_error_line)
    try:
        bound = listen_when_free(host, port, PORT_SECONDS if standby else 0.0)
        built = build_app(MeshRegistry(store, peers), settings)
    except BaseException:
        charge.give_up()
        raise
    _serve(built, bound, settings, tls, quiet, charge=charge, mdns=mdns)


@app.command("gateway")
def gateway(
    registry: Registries = None,
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="Port to listen on; 0 is any free one.")] = 8910,
    host: Host = "127.0.0.1",
    token: Token = None,
    api_key: ApiKeys = None,
    allow_host: AllowHost = None,
    tls_cert: Certificate = None,
    tls_key: CertificateKey = None,
    tls_ca: Authority = None,
    patience: Patience = 20.0,
    hedge_ms: HedgeMs = None,
    silence: Silence = 300.0,
    quiet: Quiet = False,
) -> None:
    """Serve all models of a mesh under one more address, on a machine without a registry.

    axl mesh gateway --registry http://10.0.0.5:8900
    """
    from multiscale_transformer.mesh.app import build_app
    from multiscale_transformer.mesh.follow import Followed
    from multiscale_transformer.server.runner import listen

    settings, tls = _settings(locals()), tls_of(tls_cert, tls_key)
    followed = Followed(registries_of(registry), settings.token, settings.tls)
    _serve(build_app(followed, settings), listen(host, port), settings, tls, quiet)


@app.command("join")
def join(
    registry: Annotated[list[str], typer.Argument(metavar="REGISTRY…", help="Addresses of registries, or mdns.")],
    upstream: Annotated[str, typer.Option(metavar="URL", help="The server: any that lists its models at /v1/models.")],
    name: MemberName = None,
    skill: Skills = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="The API key that the server wants.")] = None,
    advertise: Advertise = None,
    token: Token = None,
    tls_ca: Authority = None,
) -> None:
    """Bring a server into the mesh that knows nothing of it, and look after it until Ctrl-C.

    axl mesh join http://127.0.0.1:8900 --upstream http://127.0.0.1:11434
    """
    from multiscale_transformer.mesh.adopted import Adopted, adopt, default_name
    from multiscale_transformer.mesh.members import ModelOffer, address
    from multiscale_transformer.mesh.upstreams import trust

    url, tls, shown = address(upstream, "--upstream"), trust(tls_ca), mesh_token(token)
    ModelOffer(id="any", skills=tuple(skill or ()))  # with a wrong skill the server would be ill for ever
    if key and not shown:
        raise AxlError("--key is told to the registry, which needs --token for that")
    reached = url if advertise is None else address(advertise, "--advertise")
    adopted = Adopted(name or default_name(reached), reached, tuple(skill or ()), key, tls, looked_at=url)
    adopt(adopted, registries_of(registry), shown, tls, print_error_line, threading.Event())


@app.command("status")
def status(
    registry: Registry = None,
    token: Token = None,
    tls_ca: Authority = None,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Write JSON.")] = False,
) -> None:
    """Show the members of the mesh, their models, and how busy they are."""
    found = _ask("GET", "/mesh/status", registry, token, tls_ca)
    if not isinstance(found, dict) or "members" not in found:
        raise AxlError("what answers there is no registry of a mesh; name one with --registry")
    if as_json:
        print_line(json.dumps(found))
        return
    table = new_table(None, ["member", "state", "models", "skills", "at work >", "answered >", "first byte >", "address"])
    for row in found["members"]:
        traffic, models = row["traffic"], row["models"]
        skills = sorted({skill for model in models for skill in model["skills"]})
        first = traffic["first_byte_ms"]
        state = row["status"] if traffic["breaker"] == "closed" else f"{row['status']}, shut out"
        busy = max(row["running"] + row["waiting"], traffic["in_flight"])
        names = ", ".join(model["id"] for model in models)
        shown = [str(busy), f"{traffic['answered']:,}", "" if first is None else f"{first:.0f} ms", row["url"]]
        table.add_row(*map(_plain, [row["name"], state, names, ", ".join(skills), *shown]))
    show_table(table)
    if not found["members"]:
        note("nobody has joined yet: axl serve --join URL, or axl mesh join URL --upstream SERVER")


@app.command("drain")
def drain(
    name: Annotated[str, typer.Argument(metavar="MEMBER", help="Its name, as axl mesh status shows it.")],
    undo: Annotated[bool, typer.Option("--undo", metavar="", help="Send to it again.")] = False,
    registry: Registry = None,
    token: Token = None,
    tls_ca: Authority = None,
) -> None:
    """Send nothing new to a member, so that it can be ended without harm once it has nothing at work."""
    _ask("POST", f"/mesh/members/{quote(name, safe='')}/drain", registry, token, tls_ca, {"drain": not undo})
    print_field("Drained" if not undo else "Back", name)


@app.command("forget")
def forget(
    name: Annotated[str, typer.Argument(metavar="MEMBER", help="One that is gone for good.")],
    registry: Registry = None,
    token: Token = None,
    tls_ca: Authority = None,
) -> None:
    """Forget a member that is gone, so that nobody waits for it."""
    _ask("DELETE", f"/mesh/members/{quote(name, safe='')}?forget=true", registry, token, tls_ca)
    print_field("Forgotten", name)


def _settings(options: dict[str, Any]) -> MeshSettings:
    """From the options that registry and gateway share. Raises AxlError for an empty key."""
    from multiscale_transformer.mesh.app import MeshSettings
    from multiscale_transformer.mesh.upstreams import trust

    host, keys = options["host"], tuple(options["api_key"] or filter(None, [os.environ.get("AXL_API_KEY")]))
    if any(not key for key in keys):
        raise AxlError("--api-key needs a text of at least one character")
    return MeshSettings(
        token=mesh_token(options["token"]),
        keys=keys,
        hosts=tuple(options["allow_host"] or ()) + ((host,) if host not in ("0.0.0.0", "::") else ()),
        tls=trust(options["tls_ca"]),
        patience=options["patience"],
        hedge=None if options["hedge_ms"] is None else options["hedge_ms"] / 1000,
        silence=options["silence"],
    )


def _serve(
    built: Any, bound: Any, settings: MeshSettings, tls: Tls | None, quiet: bool, charge: Any = None, mdns: bool = False
) -> None:
    """Announce where it answers, and answer."""
    from contextlib import nullcontext

    from multiscale_transformer.mesh.discovery import announced
    from multiscale_transformer.mesh.member import own_address
    from multiscale_transformer.mesh.runner import run
    from multiscale_transformer.server.logs import configure_logs

    host, port = bound.getsockname()[:2]
    scheme = "http" if tls is None else "https"
    configure_logs(quiet=quiet)
    if host not in ("127.0.0.1", "::1") and not settings.token:
        note("other machines can join this mesh and use it, and it asks for no token; give it one with --token")
    shown = f"[{host}]" if ":" in host else "127.0.0.1" if host == "0.0.0.0" else host
    base = f"{scheme}://{shown}:{port}"
    print_error_line(f"Mesh on {base}")
    print_error_line(f"  all models {base}/v1   status and page {base}/   Ctrl-C ends it.")
    outside = urlsplit(own_address("http://192.0.2.1", host, port, scheme)).hostname or host
    with announced(outside, port, scheme) if mdns else nullcontext():
        if not run(built, bound, tls, charge):
            raise AxlError("another registry has taken charge of the state file, because this one was not heard of for a while")


def _ask(method: str, path: str, registry: str | None, token: str | None, ca: Path | None, body: Any = None) -> Any:
    """The answer of a registry. Raises AxlError with what it says, or that it does not answer."""
    from urllib.error import HTTPError

    from multiscale_transformer.mesh.member import ask, refusal
    from multiscale_transformer.mesh.upstreams import trust

    url = registries_of([registry] if registry else None)[0]
    try:
        return ask(method, url + path, mesh_token(token), trust(ca), body, seconds=SECONDS)
    except HTTPError as error:
        raise AxlError(f"{url}: {refusal(error)}") from None
    except (OSError, ValueError) as error:
        raise AxlError(f"no registry answers at {url} ({refusal(error)}); start one with axl mesh registry") from None


def _plain(text: object) -> str:
    """What a member says of itself, without control characters."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(text))
