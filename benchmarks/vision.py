"""How well the two models that see do on rendered pages, beside rivals that learnt from the same pages.

Each model is trained for some minutes with each seed. Classes are named on true boxes; elements, layouts and pages drawn again
come from pictures alone. Held out are pages of libraries that were trained on, and whole libraries; independent sets, which
`vision.other_domains` makes, are measured as they are.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Annotated, Literal

import typer

from benchmarks.command import Seeds, main
from benchmarks.result import Result, Row, origin, with_range
from benchmarks.vision_speed import Speed, measure_speed
from multiscale_transformer.cli.options import Threads, above_zero
from multiscale_transformer.errors import AxlError
from multiscale_transformer.machine import available_cores
from multiscale_transformer.training.initialization import init_record
from multiscale_transformer.vision.dataset import numbers, read_pages, read_record
from multiscale_transformer.vision.elements import Element, Page
from multiscale_transformer.vision.grounds import page_colour
from multiscale_transformer.vision.held_out import SETS
from multiscale_transformer.vision.held_out import read as read_with
from multiscale_transformer.vision.inference import CropReader, PageReader, load_reader
from multiscale_transformer.vision.labels import NothingFitsError
from multiscale_transformer.vision.layout import Group
from multiscale_transformer.vision.maps import Found
from multiscale_transformer.vision.measures import accuracy, block_match, matched, ssim, token_error, total
from multiscale_transformer.vision.redraw import page_of
from multiscale_transformer.vision.render import Browser
from multiscale_transformer.vision.rivals import ClassRivals, Components, NearestPage, layout_by_rule
from multiscale_transformer.vision.seer import Seen
from multiscale_transformer.vision.training import VisionRequest, train_vision
from multiscale_transformer.zoo.training_record import read_training
from multiscale_transformer.zoo.vision_recipes import VisionRecipe, find_vision_recipe

CROP, PAGE = "AXL-Vision-0.8M", "AXL-Vision-v2"
FITTED = 60  # pages by which the reach of connected components is chosen


class Score(Row):
    """A figure of one set of pages: of a model with each seed, or of a rival, which has none."""

    figure: str
    pages: str
    who: str
    values: list[float]


class VisionResult(Result):
    """All figures, how many pages they are of, and how fast pages are read."""

    kind: Literal["vision"] = "vision"
    minutes: float
    steps: dict[str, list[int]]  # of each model, by seed
    parameters: dict[str, int]
    sets: dict[str, int]  # pages of each set
    elements: dict[str, int]
    redrawn: int  # pages that were drawn again, of each set
    scores: list[Score]
    speed: Speed


def run(
    pages: Annotated[Path, typer.Option(metavar="FOLDER", help="What axl data make vision wrote.")],
    minutes: Annotated[float, typer.Option(metavar="M", callback=above_zero, help="Of training each model.")] = 10.0,
    seeds: Seeds = 3,
    threads: Threads = None,
    independent: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="Pages of other domains (vision.other_domains).")
    ] = None,
    libraries: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where npm installed bootstrap: then pages are drawn again.")
    ] = None,
    redrawn: Annotated[int, typer.Option(min=1, metavar="N", help="Pages that are drawn again, of each set.")] = 60,
    checkpoints: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where models are kept, and found when they are there.")
    ] = None,
) -> VisionResult:
    """The two models that see, trained on rendered pages, beside nearest neighbours and connected components.

    AXL-Vision-v2 begins with the AXL-Vision-0.8M of the same seed.
    """
    threads = threads or available_cores()
    sets: dict[str, Callable[[], Iterator[Page]]] = {
        name: lambda split=split: read_pages(pages, split)  # type: ignore[misc]
        for name, split in SETS.items()
        if any(read_record(pages, number).split == split for number in numbers(pages))
    }
    sets |= {folder.name: lambda folder=folder: read_pages(folder) for folder in independent or []}  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as temporary:
        root = checkpoints or Path(temporary)
        crops = [_trained(_recipe(CROP), pages, root, minutes, seed, threads) for seed in range(seeds)]
        begun = [_trained(_recipe(PAGE), pages, root, minutes, seed, threads, init) for seed, init in enumerate(crops)]
        folders = {CROP: crops, PAGE: begun}
        scores = [*_classes(pages, sets, folders[CROP]), *_pages(pages, sets, folders[PAGE])]
        if libraries is not None:
            scores += _drawn_again(pages, sets, folders[PAGE], libraries, redrawn)
        return VisionResult(
            **origin("vision", threads).model_dump(),
            minutes=minutes,
            steps={name: [_steps(folder) for folder in each] for name, each in folders.items()},
            parameters={name: _recipe(name).model.parameters() for name in folders},
            sets={name: sum(1 for _ in read()) for name, read in sets.items()},
            elements={name: sum(len(page.elements) for page in read()) for name, read in sets.items()},
            redrawn=redrawn if libraries is not None else 0,
            scores=scores,
            speed=measure_speed(folders[PAGE][0], pages),
        )


def _recipe(name: str) -> VisionRecipe:
    recipe = find_vision_recipe(name)
    assert recipe is not None
    return recipe


def _trained(
    recipe: VisionRecipe, pages: Path, root: Path, minutes: float, seed: int, threads: int, init: Path | None = None
) -> Path:
    folder = root / f"{recipe.name.lower()}-{seed}"
    if not (folder / "training.json").exists():
        request = VisionRequest(recipe.name, recipe.model, pages, folder, minutes, seed=seed, threads=threads, init=init)
        train_vision(replace(request, optimizer=recipe.training.optimizer))
    begun_as = read_training(folder).init
    if (begun_as.sha256 if begun_as else None) != (init_record(init).sha256 if init else None):
        raise AxlError(f"{folder} did not begin as {init}; delete it, or name another folder with --checkpoints")
    return folder


def _steps(folder: Path) -> int:
    return read_training(folder).steps


def _classes(pages: Path, sets: dict[str, Callable[[], Iterator[Page]]], folders: Sequence[Path]) -> list[Score]:
    """Class accuracy on true boxes."""
    readers = [load_reader(folder) for folder in folders]
    rivals = ClassRivals(read_pages(pages, "train"))
    scores = []
    for name, read in sets.items():
        truth: list[str] = []
        said: dict[str, list[list[str]]] = {CROP: [[] for _ in readers]}
        for page in read():
            boxes = [element.box for element in page.elements]
            truth += [element.kind for element in page.elements]
            for number, reader in enumerate(readers):
                assert isinstance(reader, CropReader)
                said[CROP][number] += [one.element.kind for one in reader.elements(page.picture_HWC, boxes)]
            for rival, kinds in rivals.classify(page.picture_HWC, boxes).items():
                said.setdefault(rival, [[]])[0] += kinds
        scores += [
            Score(figure="class accuracy", pages=name, who=who, values=[accuracy(truth, one) for one in each])
            for who, each in said.items()
        ]
    return scores


def _pages(pages: Path, sets: dict[str, Callable[[], Iterator[Page]]], folders: Sequence[Path]) -> list[Score]:
    """Elements and layouts from pictures alone."""
    rivals = ClassRivals(read_pages(pages, "train"))
    components = Components.fitted(rivals, list(itertools.islice(read_pages(pages, "train"), FITTED)))
    nearest = NearestPage(read_pages(pages, "train"))
    scores: list[Score] = []
    for name, read in sets.items():
        found = [[components.elements(page.picture_HWC) for page in read()]]
        scores += _detection(name, "connected components", read, found)
        lines = [[(page.layout, nearest.of(page.picture_HWC).layout) for page in read()]]
        scores += _layouts(name, "nearest page", lines)
        seen = [list(_seen(folder, read)) for folder in folders]
        scores += _detection(name, PAGE, read, [[one.elements for one in each] for each in seen])
        both = [list(zip(read(), each, strict=True)) for each in seen]
        scores += _layouts(name, PAGE, [[(page.layout, one.layout) for page, one in each] for each in both])
        scores += _layouts(name, "layout by XY-cut", [list(map(_by_rule, read(), each)) for each in seen])
        scores += _layouts(name, "XY-cut of true elements", [list(map(_by_rule, read(), read()))])
    return scores


def _by_rule(page: Page, seen: Seen | Page) -> tuple[str, str]:
    """The line of a page, and that which the rule makes of what was seen."""
    return page.layout, layout_by_rule(page.picture_HWC, seen.elements)


def _seen(folder: Path, read: Callable[[], Iterator[Page]]) -> Iterator[Seen]:
    reader = load_reader(folder)
    assert isinstance(reader, PageReader)
    for page in read():
        elements, line = read_with(reader, page)
        height, width = page.picture_HWC.shape[:2]
        yield Seen(width, height, tuple(Found(element, 1.0) for element in elements), line)


def _detection(
    name: str, who: str, read: Callable[[], Iterator[Page]], found: Sequence[Sequence[Sequence[Element]]]
) -> Iterator[Score]:
    for least in (0.5, 0.9):
        values = [
            total(matched(page.elements, elements, least) for page, elements in zip(read(), each, strict=True)).f1
            for each in found
        ]
        yield Score(figure=f"F1 at IoU {least}", pages=name, who=who, values=values)


def _layouts(name: str, who: str, pairs: Sequence[Sequence[tuple[str, str]]]) -> Iterator[Score]:
    """Only of pages whose layout is known."""
    known = [[pair for pair in each if pair[0]] for each in pairs]
    if all(known):
        yield Score(figure="layout token error", pages=name, who=who, values=[token_error(each) for each in known])
        exact = [sum(truth == said for truth, said in each) / len(each) for each in known]
        yield Score(figure="layout exactly right", pages=name, who=who, values=exact)


def _drawn_again(
    pages: Path, sets: dict[str, Callable[[], Iterator[Page]]], folders: Sequence[Path], libraries: Path, count: int
) -> Iterator[Score]:
    """Pages drawn again in one library, beside the originals; the rival shows the nearest page it knows."""
    from multiscale_transformer.vision.picture import open_picture
    from multiscale_transformer.vision.render import browser

    nearest = NearestPage(read_pages(pages, "train"))
    with browser() as chromium:
        for name, read in sets.items():

            def some(read: Callable[[], Iterator[Page]] = read) -> Iterator[Page]:
                return itertools.islice(read(), count)

            blocks, alike = [], []
            for folder in folders:
                drawn = [
                    _again(chromium, page, seen, libraries) for page, seen in zip(some(), _seen(folder, some), strict=True)
                ]
                both = list(zip(some(), drawn, strict=True))
                blocks.append(total(block_match(page.elements, again[2] if again else ()) for page, again in both).f1)
                alike.append(mean([ssim(page.picture_HWC, open_picture(again[0])) if again else 0.0 for page, again in both]))
            others = [(page, nearest.of(page.picture_HWC)) for page in some()]
            block = total(block_match(page.elements, other.elements) for page, other in others).f1
            for figure, ours, rival in (
                ("block match", blocks, block),
                ("SSIM", alike, mean([ssim(page.picture_HWC, other.picture_HWC) for page, other in others])),
            ):
                yield Score(figure=f"drawn again: {figure}", pages=name, who=PAGE, values=ours)
                yield Score(figure=f"drawn again: {figure}", pages=name, who="nearest page", values=[rival])


def _again(chromium: Browser, page: Page, seen: Seen, libraries: Path) -> tuple[bytes, Group, tuple[Element, ...]] | None:
    """A page that was read, drawn anew; None where nothing was read, or none of it fits a picture."""
    try:
        return chromium.draw(page_of(seen, page_colour(page.picture_HWC), "bootstrap", libraries)) if seen.layout else None
    except NothingFitsError:
        return None


def table(result: VisionResult) -> str:
    """A row for each figure and whose it is, a column for each set; with several seeds, the mean and the lowest and highest."""
    rows: dict[tuple[str, str], dict[str, Score]] = {}
    for score in result.scores:
        rows.setdefault((score.figure, score.who), {})[score.pages] = score
    figures = list(dict.fromkeys(figure for figure, _ in rows))
    lines = [f"| figure | who | {' | '.join(result.sets)} |", "|---|---|" + "---:|" * len(result.sets)]
    for (figure, who), by_set in sorted(rows.items(), key=lambda row: figures.index(row[0][0])):
        lines.append(f"| {figure} | {who} | {' | '.join(_cell(by_set.get(name)) for name in result.sets)} |")
    sets = ", ".join(f"{name} {count:,} pages with {result.elements[name]:,} elements" for name, count in result.sets.items())
    steps = "; ".join(f"{name} {', '.join(map(str, each))} steps" for name, each in result.steps.items())
    speed = result.speed
    return "\n".join(
        [
            *lines,
            "",
            f"{result.minutes:g} minutes of training each ({steps}). Sets: {sets}"
            + (f"; {result.redrawn} of each drawn again." if result.redrawn else "."),
            f"One thread reads {speed.pages_per_second:.1f} pages a second, with layout; the process holds "
            f"{speed.rss_bytes / 1e6:.0f} MB.",
            "",
        ]
    )


def _cell(score: Score | None) -> str:
    return "" if score is None else with_range(score.values, ".3f")


RESULT = VisionResult

if __name__ == "__main__":
    main("vision")
