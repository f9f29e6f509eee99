"""`axl eval codebleu`: how alike hypotheses are to references, as CodeBLEU has it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.errors import AxlError

WEIGHTS = "0.25,0.25,0.25,0.25"


def codebleu(
    references: Annotated[Path, typer.Argument(metavar="REFERENCES", help="A file or folder of what is wanted.")],
    hypotheses: Annotated[Path, typer.Argument(metavar="HYPOTHESES", help="A file or folder of what was written.")],
    lang: Annotated[Literal["python", "javascript", "java"], typer.Option(help="The language of both.")],
    weights: Annotated[
        str, typer.Option(metavar="A,B,C,D", help="Of n-grams, weighted n-grams, syntax and data flow.")
    ] = WEIGHTS,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Print one line of JSON.")] = False,
) -> None:
    """CodeBLEU of hypotheses against references, over all pairs: n-grams, n-grams with weights, syntax and data flow.

    Pairs are the lines of two files (.jsonl with a text, or a field reference, code, … and hypothesis, completion, code, …; in
    other files a text a line), two source files, or the source files of two folders by name. Likeness is not correctness.

        axl eval codebleu references.jsonl hypotheses.jsonl --lang python
        axl eval codebleu wanted/ written/ --lang java --json
    """
    from multiscale_transformer.evaluation.codebleu import score
    from multiscale_transformer.evaluation.codebleu.languages import grammar_of
    from multiscale_transformer.evaluation.codebleu.pairs import read_pairs

    numbers = _numbers(weights)
    with ui.busy("comparing"):
        result = score.codebleu(read_pairs(references, hypotheses, grammar_of(lang).suffixes), lang, numbers)
    if as_json:
        ui.print_line(json.dumps(asdict(result)))
        return
    table = ui.new_table(f"CodeBLEU of {ui.counted(result.pairs, 'pair')}, {lang}", ["", "weight >", "score >"])
    for (name, part), weight in zip(result.parts.items(), numbers, strict=True):
        table.add_row(name, f"{weight:g}", _shown(part))
    table.add_row("CodeBLEU", "", _shown(result.codebleu))
    ui.show_table(table)
    if result.broken:
        ui.note(f"of {result.broken:,} of the hypotheses a part cannot be parsed")
    if result.too_complex:
        ui.note(f"{ui.counted(result.too_complex, 'text')} too deep or too ambiguous to be compared as a whole")


def _numbers(weights: str) -> list[float]:
    from multiscale_transformer.evaluation.codebleu.score import checked_weights

    try:
        numbers = [float(weight) for weight in weights.split(",")]
    except ValueError:
        raise AxlError(f"--weights are four numbers with commas between them, like {WEIGHTS}, got {weights!r}") from None
    checked_weights(numbers)
    return numbers


def _shown(score: float | None) -> str:
    return "nothing to compare" if score is None else f"{score:.4f}"
