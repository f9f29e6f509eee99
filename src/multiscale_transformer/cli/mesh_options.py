"""Options that the commands of the mesh share, `axl serve --join` among them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from multiscale_transformer.cli.options import above_zero
from multiscale_transformer.errors import AxlError

if TYPE_CHECKING:
    from multiscale_transformer.server.runner import Tls

TOKEN_VARIABLE = "AXL_MESH_TOKEN"
REGISTRY_VARIABLE = "AXL_MESH_REGISTRY"
DEFAULT_REGISTRY = "http://127.0.0.1:8900"
MESH, LIMITS, SECURITY = "Mesh", "Limits", "Security"

Host = Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 is all, for other machines.")]
Token = Annotated[
    str | None,
    typer.Option(
        metavar="TOKEN",
        rich_help_panel=SECURITY,
        help=f"What members and gateways show each other (default: ${TOKEN_VARIABLE}).",
    ),
]
ApiKeys = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY", rich_help_panel=SECURITY, help="Keys that clients must send (default: $AXL_API_KEY, or none)."),
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", rich_help_panel=SECURITY, help="Host names, besides localhost, that requests may come to."),
]
Certificate = Annotated[
    Path | None, typer.Option("--tls-cert", metavar="FILE", rich_help_panel=SECURITY, help="Certificate (PEM): answer in TLS.")
]
CertificateKey = Annotated[
    Path | None, typer.Option("--tls-key", metavar="FILE", rich_help_panel=SECURITY, help="The key of the certificate.")
]
Authority = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca", metavar="FILE", rich_help_panel=SECURITY, help="Certificates to trust (PEM) instead of the system's."
    ),
]
Patience = Annotated[
    float,
    typer.Option(
        metavar="S", callback=above_zero, rich_help_panel=LIMITS, help="Seconds that a request waits for a member to come back."
    ),
]
HedgeMs = Annotated[
    float | None,
    typer.Option(
        metavar="MS", callback=above_zero, rich_help_panel=LIMITS, help="Ask a second member when the first is this slow."
    ),
]
Silence = Annotated[
    float,
    typer.Option(metavar="S", callback=above_zero, rich_help_panel=LIMITS, help="Seconds that an answer may pause."),
]
Quiet = Annotated[bool, typer.Option("--quiet", metavar="", help="Log warnings only.")]
Registries = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL", help=f"Registries, or mdns to look for them (default: ${REGISTRY_VARIABLE}, or {DEFAULT_REGISTRY})."
    ),
]
Registry = Annotated[
    str | None, typer.Option(metavar="URL", help=f"A registry (default: ${REGISTRY_VARIABLE}, or {DEFAULT_REGISTRY}).")
]
MemberName = Annotated[str | None, typer.Option(metavar="NAME", help="What the mesh calls the server (default: its address).")]
Skills = Annotated[
    list[str] | None,
    typer.Option(metavar="SKILL", help="What its models are good at: code, debug, vision, … or a word of yours."),
]
Advertise = Annotated[
    str | None, typer.Option(metavar="URL", help="The address by which gateways reach the server, where that is another.")
]


def mesh_token(given: str | None) -> str | None:
    """The token. Raises AxlError for one that cannot stand in a header."""
    token = given if given is not None else os.environ.get(TOKEN_VARIABLE) or None
    if token is not None and (not token.isascii() or not token.isprintable() or " " in token or not token):
        raise AxlError("--token needs printed characters without spaces, at least one")
    return token


def registries_of(given: Sequence[str] | None) -> list[str]:
    """The addresses of the registries. Raises AxlError for what is none, and where none is found by mdns."""
    from multiscale_transformer.mesh.discovery import MDNS, found
    from multiscale_transformer.mesh.members import address

    urls: list[str] = []
    for url in given or [os.environ.get(REGISTRY_VARIABLE) or DEFAULT_REGISTRY]:
        urls += found() if url == MDNS else [address(url, "the registry")]
    return list(dict.fromkeys(urls))


def tls_of(certificate: Path | None, key: Path | None) -> Tls | None:
    """The certificate with its key. Raises AxlError where one of them is missing or wrong."""
    from multiscale_transformer.server.runner import Tls

    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise AxlError("--tls-cert and --tls-key go together")
    tls = Tls(certificate, key)
    tls.check()
    return tls
