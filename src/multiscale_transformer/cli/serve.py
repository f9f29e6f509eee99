"""`axl serve`: models behind the interfaces that editors and libraries speak."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from multiscale_transformer.cli.compile import ensure_kernels
from multiscale_transformer.cli.memory_args import index_folders
from multiscale_transformer.cli.mesh_options import (
    MESH,
    TOKEN_VARIABLE,
    Authority,
    Certificate,
    CertificateKey,
    mesh_token,
    registries_of,
    tls_of,
)
from multiscale_transformer.cli.options import EngineThreads, MemoryFolders, above_zero, checkpoint
from multiscale_transformer.cli.renamed import renamed
from multiscale_transformer.cli.ui import busy, note, print_error_line
from multiscale_transformer.data.named_sources import NAMED_SOURCES, STDLIB
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.document import shown_sources
from multiscale_transformer.model.sampling import FIM_CANDIDATES, MAX_CANDIDATES
from multiscale_transformer.server.settings import Learning, Limits, Settings
from multiscale_transformer.zoo.shipped import SHIPPED, shipped_model

if TYPE_CHECKING:
    from multiscale_transformer.mesh.member import Membership
    from multiscale_transformer.server.state import ServerState

LIMITS = "Limits"
KEY_VARIABLE = "AXL_API_KEY"
LEARN_MINUTES = 10.0


@renamed(
    name="served_model_name",
    hole_ms="fim_timeout_ms",
    time_limit="request_timeout",
    queued="max_queue",
    cache_mb="kv_cache_mb",
    memory_mb="max_ram_mb",
)
def serve(
    projects: Annotated[
        list[str] | None,
        typer.Argument(metavar="PROJECT…", help="Folders to complete for: each is indexed, and its index follows every save."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER", help="Checkpoint folder, or shipped for the one in the package. May be given several times."
        ),
    ] = None,
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="Port to listen on; 0 is any free one.")] = 8880,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 is all, for other machines.")] = (
        "127.0.0.1"
    ),
    served_model_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What clients call the model (default: its folder's).")
    ] = None,
    memory: MemoryFolders = None,
    learn: Annotated[
        datetime | None,
        typer.Option(
            metavar="HH:MM",
            formats=["%H:%M"],
            help="Fine-tune the model on the projects at this time each day, and serve that.",
        ),
    ] = None,
    learn_minutes: Annotated[
        float, typer.Option(metavar="M", callback=above_zero, help="How long that takes, at the lowest priority.")
    ] = LEARN_MINUTES,
    api_key: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help=f"Keys that clients must send (default: ${KEY_VARIABLE}, or none).")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Host names, besides localhost, that requests may come to.")
    ] = None,
    threads: EngineThreads = None,
    fim_timeout_ms: Annotated[
        float | None,
        typer.Option(
            metavar="MS",
            callback=above_zero,
            rich_help_panel=LIMITS,
            help="Time to fill in the middle, for editors that give up soon.",
        ),
    ] = None,
    fim_candidates: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=MAX_CANDIDATES,
            rich_help_panel=LIMITS,
            help="Texts for a gap, of which the best is sent; 1 is fastest, and streams.",
        ),
    ] = FIM_CANDIDATES,
    request_timeout: Annotated[
        float | None, typer.Option(metavar="S", callback=above_zero, rich_help_panel=LIMITS, help="Seconds for any request.")
    ] = None,
    max_queue: Annotated[
        int, typer.Option(metavar="N", min=1, rich_help_panel=LIMITS, help="Requests that may wait for each model.")
    ] = Limits.max_queue,
    kv_cache_mb: Annotated[
        int, typer.Option(metavar="MB", min=16, rich_help_panel=LIMITS, help="KV cache of each model.")
    ] = Limits.kv_cache_bytes >> 20,
    max_ram_mb: Annotated[
        int, typer.Option(metavar="MB", min=64, rich_help_panel=LIMITS, help="All loaded models and indexes together.")
    ] = Limits.ram_bytes >> 20,
    keep_alive: Annotated[
        float,
        typer.Option(metavar="S", rich_help_panel=LIMITS, help="Seconds that an unused model stays loaded; -1 is for ever."),
    ] = Limits.keep_alive,
    quiet: Annotated[bool, typer.Option("--quiet", metavar="", help="Log warnings only.")] = False,
    join: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", rich_help_panel=MESH, help="Registries of a mesh to report to, or mdns to look for them."),
    ] = None,
    member_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", rich_help_panel=MESH, help="What the mesh calls this server (default: its address)."),
    ] = None,
    skill: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SKILL",
            rich_help_panel=MESH,
            help="What the models are good at: code, debug, vision, … or a word of yours.",
        ),
    ] = None,
    advertise: Annotated[
        str | None,
        typer.Option(
            metavar="URL", rich_help_panel=MESH, help="The address by which gateways reach it, where that is another."
        ),
    ] = None,
    mesh_key: Annotated[
        str | None,
        typer.Option(
            "--mesh-token",
            metavar="TOKEN",
            rich_help_panel=MESH,
            help=f"What members and gateways show each other (default: ${TOKEN_VARIABLE}).",
        ),
    ] = None,
    tls_cert: Certificate = None,
    tls_key: CertificateKey = None,
    tls_ca: Authority = None,
) -> None:
    """Serve models to editors and libraries: OpenAI, Anthropic, Ollama and llama.cpp routes, and a playground at /.

    axl serve
    axl serve ~/src/mine
    axl serve --model checkpoints/mine --memory my_index --memory stdlib --fim-timeout-ms 350
    axl serve --host 0.0.0.0 --api-key secret
    axl serve --port 8901 --join http://127.0.0.1:8900 --skill code
    """
    from platformdirs import user_data_path

    from multiscale_transformer.model.vision_config import sees
    from multiscale_transformer.server.app import build_app
    from multiscale_transformer.server.logs import configure_logs
    from multiscale_transformer.server.runner import listen
    from multiscale_transformer.server.runner import serve as run
    from multiscale_transformer.server.runtime.registry import names_of

    roots = _roots(projects or [])
    learning = _learning(learn, learn_minutes, roots)
    given = [checkpoint(value) for value in model or [SHIPPED]]
    seeing = [folder for folder in given if sees(folder)]
    writing = [folder for folder in given if folder not in seeing]
    folders = writing or [shipped_model()]
    name = SHIPPED if not served_model_name and folders == [shipped_model()] else served_model_name
    models = names_of(folders, name if writing else SHIPPED)
    seers = names_of(seeing, None if writing else served_model_name)
    if both := models.keys() & seers.keys():
        raise AxlError(f"two models are called {min(both)}; rename the folder of one, or its --served-model-name")
    keys = tuple(api_key or filter(None, [os.environ.get(KEY_VARIABLE)]))
    if any(not key for key in keys):
        raise AxlError("--api-key needs a text of at least one character")
    tls, mesh = tls_of(tls_cert, tls_key), _Mesh(join, member_name, skill, advertise, mesh_key, tls_ca)
    keys = mesh.keys(keys)
    indexes = None if memory is None else _indexes(memory)
    if memory is None and shipped_model() in folders:
        index_folders([STDLIB])  # now, and said, instead of inside the first request
    settings = Settings(
        models=models,
        variants=user_data_path("axl", appauthor=False) / "models",
        indexes=indexes,
        projects=roots,
        learning=learning,
        shipped=shipped_model(),
        seers=seers,
        hosts=tuple(allow_host or ()) + ((host,) if host not in ("0.0.0.0", "::") else ()),
        keys=keys,
        fim_timeout=None if fim_timeout_ms is None else fim_timeout_ms / 1000,
        fim_candidates=fim_candidates,
        max_seconds=request_timeout,
        limits=Limits(threads or Limits.threads, kv_cache_mb << 20, max_ram_mb << 20, max_queue, keep_alive),
    )
    app = build_app(settings)
    bound = listen(host, port)
    configure_logs(quiet=quiet)
    if host not in ("127.0.0.1", "localhost", "::1") and not keys:
        note(f"other machines can use this server, and it asks for no key; give it one with --api-key or ${KEY_VARIABLE}")
    state = app.state.server
    ensure_kernels()
    beginning = _begin(roots)
    with busy("loading the model"):
        state.models.preload(state.registry.find(None))
        for thread in beginning:
            thread.join()
    for problem in state.models.notes.values():
        note(problem)
    _announce(bound.getsockname()[:2], {**models, **seers}, roots, "http" if tls is None else "https")
    membership = mesh.membership(state, bound.getsockname()[:2], "http" if tls is None else "https")
    if membership is None:
        run(app, bound, tls=tls)
        return
    membership.start()
    run(app, bound, tls=tls, leaving=membership.leave)


@dataclass(frozen=True)
class _Mesh:
    """What `--join` and its companions say."""

    join: list[str] | None
    name: str | None
    skills: list[str] | None
    advertise: str | None
    token: str | None
    authority: Path | None

    def keys(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """The keys of the server: of a mesh with a token, the token too. Raises AxlError where gateways would have none."""
        if not self.join:
            if any((self.name, self.skills, self.advertise, self.token, self.authority)):
                raise AxlError("--member-name, --skill, --advertise, --mesh-token and --tls-ca go with --join")
            return keys
        token = mesh_token(self.token)
        if keys and token is None:
            raise AxlError("a member that asks for a key needs --mesh-token, which gateways send it instead")
        return keys if token is None else (*keys, token)

    def membership(self, state: ServerState, address: tuple[str, int], scheme: str) -> Membership | None:
        """The heartbeats of this server, where it joins. Raises AxlError for what is no address, name or skill."""
        if not self.join:
            return None
        from multiscale_transformer.mesh.adopted import default_name
        from multiscale_transformer.mesh.member import Membership, own_address, server_described
        from multiscale_transformer.mesh.members import address as checked
        from multiscale_transformer.mesh.upstreams import trust

        registries = registries_of(self.join)
        url = checked(self.advertise, "--advertise") if self.advertise else own_address(registries[0], *address, scheme)
        name = self.name or default_name(url)
        describe = server_described(state, name, url, tuple(self.skills or ()))
        try:
            describe()
        except ValidationError as error:
            raise AxlError(f"--member-name or --skill: {error.errors()[0]['msg']}") from None
        return Membership(registries, describe, mesh_token(self.token), trust(self.authority), print_error_line)


def _learning(at: datetime | None, minutes: float, roots: dict[str, Path]) -> Learning | None:
    """Raises AxlError where there is nothing to learn from, or no time to do it at."""
    from platformdirs import user_data_path

    if at is None:
        if minutes != LEARN_MINUTES:
            raise AxlError("--learn-minutes goes with --learn")
        return None
    if not roots:
        raise AxlError("--learn goes with a PROJECT to learn from: axl serve PROJECT --learn 02:00")
    return Learning(at.time(), minutes, user_data_path("axl", appauthor=False) / "learned")


def _begin(roots: dict[str, Path]) -> list[threading.Thread]:
    """Begin to index projects that are new, beside loading the model."""
    if not roots:
        return []
    from multiscale_transformer.server.runtime.projects import begin

    threads = [threading.Thread(target=begin, args=(root,), daemon=True) for root in roots.values()]
    for thread in threads:
        thread.start()
    return threads


def _roots(projects: list[str]) -> dict[str, Path]:
    """The folders by what requests call them. Raises AxlError for what is none."""
    roots = [Path(project).expanduser().resolve() for project in projects]
    for given, root in zip(projects, roots, strict=True):
        if not root.is_dir():
            raise AxlError(f"{given} is no folder; name the project to complete for, or --model for a checkpoint")
    return {name: Path(root) for root, name in shown_sources(map(str, roots)).items()}


def _indexes(memory: list[str]) -> dict[str, Path]:
    """The folders of indexes by what requests call them: the folder's name, or more of its path where two are called alike."""
    folders = index_folders(memory)
    places = {
        name if name in NAMED_SOURCES else str(folder.resolve()): folder for name, folder in zip(memory, folders, strict=False)
    }
    names = shown_sources(places)
    return {names[place]: folder for place, folder in places.items()}


def _announce(address: tuple[str, int], models: dict[str, Path], projects: dict[str, Path], scheme: str) -> None:
    host, port = address
    shown = f"[{host}]" if ":" in host else "127.0.0.1" if host == "0.0.0.0" else host
    base = f"{scheme}://{shown}:{port}"
    print_error_line(f"Serving {', '.join(models)} on {base}")
    print_error_line(f"  OpenAI {base}/v1   Anthropic, Ollama, llama.cpp {base}   playground {base}/   routes {base}/docs")
    if projects:
        print_error_line(f"  completing for {', '.join(projects)}; the index follows every save")
    print_error_line(f"  axl connect --url {base} sets an editor up. Ctrl-C ends the server.")
