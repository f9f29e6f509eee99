"""`axl data`: what training would read, before training; downloading code; and making the data of a skill."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.data_pages import PAGE_SETS, Html, Libraries, Pages, make_page_set
from multiscale_transformer.cli.main import COMMANDS
from multiscale_transformer.cli.options import Exclude, Include, above_zero, folder, help_text, paths, seed_number
from multiscale_transformer.cli.renamed import renamed
from multiscale_transformer.errors import AxlError

if TYPE_CHECKING:
    from multiscale_transformer.tasks.make import Made

DATA = Path("data")  # below which the data of each skill lies, in a folder of its name
PAGES = 4000  # of a page set
SHOW = "show"


class ShownByDefault(TyperGroup):
    """Words that name no command are those of `axl data show`: `axl data .` shows what is here."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words, with `show` before them where no command is named."""
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = [SHOW, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=ShownByDefault, help=COMMANDS["data"][1], add_completion=False, pretty_exceptions_enable=False)


@renamed(left_out="dropped")
def show(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", callback=paths, help="Folders, repositories, files, .jsonl, globs, or mixture:FILE."),
    ] = None,
    include: Include = None,
    exclude: Exclude = None,
    dropped: Annotated[
        bool, typer.Option("--dropped", metavar="", help="List what is dropped instead: place, tab, reason.")
    ] = False,
) -> None:
    """Show what training on PATHs would read: files kept, held out, and dropped by reason.

    Without a PATH it is the Python library of this interpreter; mixture:FILE names many parts in a YAML file
    (examples/base_mixture.yaml). A .axlignore, written as a .gitignore, leaves out for good. The word show may be left out.

        axl data . --dropped | grep "unknown suffix"
        axl data . --include "*.tpl" --exclude third_party/
    """
    from multiscale_transformer.cli.reading import read_corpus
    from multiscale_transformer.data.dropped import Dropped
    from multiscale_transformer.data.named_sources import STDLIB
    from multiscale_transformer.data.names import shown
    from multiscale_transformer.data.selection import Selection

    log = Dropped(listed=dropped)
    try:
        corpus = read_corpus(sources or [STDLIB], Selection.of(include, exclude), dropped=log, quiet=dropped)
    finally:
        for line in log.lines():  # where nothing is left, they say why
            ui.write(f"{line}\n")
    if dropped:
        return
    for part, documents in (("to train on", corpus.train), ("held out", corpus.held_out)):
        largest = sorted(((len(content), name) for name, content in documents), reverse=True)[:3]
        ui.print_field("", f"largest {part}: " + ", ".join(f"{shown(name)} ({ui.size(count)})" for count, name in largest))


Benchmarks = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", parser=folder, help="Benchmarks as JSON lines, of which nothing is to be in the data."),
]


def make(
    skills: Annotated[list[str] | None, typer.Argument(metavar="SKILL…", help="Skills by name.")] = None,
    every: Annotated[bool, typer.Option("--all", metavar="", help="The data of all skills.")] = False,
    out: Annotated[Path, typer.Option(metavar="FOLDER", parser=folder, help="Each skill has a folder in it.")] = DATA,
    benchmarks: Benchmarks = None,
    packages: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", parser=folder, help="Packages that axl data download fetched, beside those installed."),
    ] = None,
    mbpp: Annotated[
        Path | None,
        typer.Option(metavar="FILE", parser=folder, help="MBPP as JSON lines, of whose tasks 601 to 974 are read too."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", metavar="", help="Also what has been made already.")] = False,
    libraries: Libraries = None,
    html: Html = None,
    pages: Pages = PAGES,
    seed: Annotated[int, typer.Option(metavar="N", callback=seed_number, help="Decides the pages of vision.")] = 0,
) -> None:
    """Make the examples that a skill is learnt from and measured on.

    They come from Python's library and the installed packages with permissive licences, and are split by package. Examples with
    keys or addresses in them, near-duplicates and, with --benchmarks, what shares 13 tokens with a benchmark are left out. What
    has been made is kept, so an interrupted --all goes on.

    vision, vision-documentation and vision-windows are rendered pages instead, for models that see; --all leaves them out.
    They need a Chromium or PySide6, and say what else.

        axl data make refactor
        axl data make --all --benchmarks ~/benchmarks
        axl data make vision --libraries ~/css --pages 4000
    """
    from multiscale_transformer.tasks.skill import MODULES, load_skill

    if bool(skills) == every:
        raise AxlError(f"name skills ({', '.join([*MODULES, *PAGE_SETS])}), or give --all, not both")
    rendered = [name for name in skills or () if name in PAGE_SETS]
    texts = [name for name in skills or MODULES if name not in PAGE_SETS]
    for name in texts:
        load_skill(name)  # a wrong name is refused before anything is made
    if not rendered and (libraries or html or seed or pages != PAGES):
        raise AxlError(f"--libraries, --html, --pages and --seed go with {', '.join(PAGE_SETS)}")
    if not texts and (benchmarks or packages or mbpp or again):
        raise AxlError(f"--benchmarks, --packages, --mbpp and --again go with {', '.join(MODULES)}")
    for name in rendered:
        make_page_set(name, out / name, pages, seed, libraries=libraries, html=html)
    for name in texts:
        if (out / name).exists() and not again:
            ui.print_text(f"{out / name} is made already")
        else:
            make_one(name, out / name, benchmarks, packages, mbpp)


def make_one(
    name: str, place: Path, benchmarks: Path | None = None, packages: Path | None = None, mbpp: Path | None = None
) -> Made:
    """Make the data of one skill into a folder, with a bar, and say what came of it."""
    from multiscale_transformer.data.decontamination import Decontamination
    from multiscale_transformer.tasks.bugs import mbpp_texts
    from multiscale_transformer.tasks.make import make_data
    from multiscale_transformer.tasks.package_texts import package_texts
    from multiscale_transformer.tasks.skill import load_skill

    known = Decontamination.of_folder(benchmarks) if benchmarks else None
    with ui.bar() as bar:
        task = bar.add_task("reading packages", total=None)
        made = make_data(
            load_skill(name),
            place,
            chain(mbpp_texts(mbpp) if mbpp else (), package_texts(downloaded=packages)),
            known,
            lambda text: bar.update(task, description=f"{name}: {text.package}"),
        )
    splits = ", ".join(f"{count:,} {split} ({ui.size(made.bytes[split])})" for split, count in made.counts.items())
    ui.print_field("Examples", f"{splits} in {place}")
    if made.dropped:
        ui.print_field("Dropped", ui.counts_by_reason(made.dropped))
    return made


def download(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[PACKAGE…]", help="Packages by name; some 300 popular ones by default.")
    ] = None,
    max_gb: Annotated[float, typer.Option(metavar="X", callback=above_zero, help="Gigabytes of source to keep.")] = 1.0,
    out: Annotated[Path, typer.Option(metavar="FOLDER", parser=folder, help="Where it goes.")] = DATA / "download",
    git: Annotated[list[str] | None, typer.Option(metavar="URL", help="A git repository instead; several times.")] = None,
    hub: Annotated[
        list[str] | None, typer.Option(metavar="DATASET", help="A data set of the Hugging Face Hub instead; several times.")
    ] = None,
    licence: Annotated[str, typer.Option(metavar="SPDX", help="The licence of the data sets, where rows do not say.")] = "",
    find_links: Annotated[
        str | None, typer.Option(metavar="PLACE", help="A folder or page of wheels, as pip takes it, instead of the index.")
    ] = None,
) -> None:
    """Download Python code to train on: wheels of packages with permissive licences, repositories, or data sets.

    Nothing is installed or run. Each package is a folder of its .py files, and manifest.jsonl says where it came from, under
    which licence and with which hash. What is there already is kept, so an interrupted download goes on.

        axl data download --max-gb 5
        axl data download requests flask --out data/web
        axl data download --git https://github.com/TheAlgorithms/Python
    """
    from multiscale_transformer.data.download import Download, package_names
    from multiscale_transformer.data.hub_texts import hub_texts

    if (licence and not hub) or (find_links and not names and (git or hub)):
        raise AxlError("--licence goes with --hub, and --find-links with packages")
    with ui.bar() as bar:
        task = bar.add_task("fetching", total=max_gb * 1e9)
        fetched = Download(out, max_gb * 1e9, lambda kept: bar.update(task, advance=kept.bytes, description=kept.name))
        bar.update(task, completed=fetched.size)
        for url in git or ():
            fetched.repository(url)
        for dataset in hub or ():
            name = dataset.lower().replace("/", "-")
            fetched.texts(Path(name).name, dataset, licence, hub_texts(dataset))
        if names or not (git or hub):
            fetched.packages(names or package_names(), ["--no-index", "--find-links", find_links] if find_links else [])
    files = sum(kept.files for kept in fetched.kept.values())
    ui.print_field("Kept", f"{ui.counted(files, 'file')} ({ui.size(fetched.size)}) of {len(fetched.kept)} in {out}")
    for name, reason in sorted(fetched.refused.items()):
        ui.print_field("Refused", f"{name}: {reason}")
    if not fetched.kept:
        raise AxlError(f"nothing is kept in {out}")


for _command in (show, make, download):
    app.command(_command.__name__, help=help_text(_command))(_command)
