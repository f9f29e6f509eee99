"""Docstrings as text: cut out of a source and put into one by positions, read into a sentence and parameters, and checked.

What is read is the first sentence, and what is said of each parameter in any of the three usual styles (Google, NumPy, Sphinx);
what is written has one form, that of PEP 257 with Google's section. The rest of the text stays byte for byte as it was.
"""

from __future__ import annotations

import ast
import inspect
import keyword
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from multiscale_transformer.tasks.nearest import parts_of_names
from multiscale_transformer.tasks.source_text import Edit, SourceText, first_line, parsed

Function = ast.FunctionDef | ast.AsyncFunctionDef
MAX_FIRST, MAX_PARAMETER = 120, 120  # bytes of a first sentence, and of what is said of a parameter
MAX_LINE, USUAL_LINE = 100, 79  # columns: as wide as the file's widest line, within these bounds
STEP = "    "
FIRST_OF_METHODS = ("self", "cls", "mcs")
STEM, SHORTEST = 5, 4  # letters of a word that are compared, and that it has at least
_SAYS_NOTHING = {*keyword.kwlist, "self", "this", "that", "name", "value", "object", "returns", "given", "none"}
_SECTION = re.compile(r"(Args|Arguments|Parameters|Params):\s*$")
_ENTRY = re.compile(r"\\?(\*{0,2}\w+)\s*(?:\([^)]*\))?\s*:\s+(.*)")
_FIELD = re.compile(r"[:@]param(?:eter)?\s+(?:[^:]*?\s)?\\?(\*{0,2}\w+)\s*:\s*(.*)")
_NUMPY = re.compile(r"((?:\\?\*{0,2}\w+)(?:\s*,\s*\\?\*{0,2}\w+)*)\s*(?::.*)?$")
_PARAGRAPH_ENDS = re.compile(r"\s*$|\s*([:@]\w|[-*+•] |>>>|\.\. |[-=~^]{3,}$|\w+:$)")
_SENTENCE_ENDS = re.compile(r"[.!?](?=\s+[^a-z\s]|\s*$)")
_UNFIT = re.compile(r'[\x00-\x1f\x7f\\]|""')


@dataclass(frozen=True)
class Docstring:
    """A first sentence, and what is said of each parameter, in the order of the signature."""

    first: str
    parameters: tuple[tuple[str, str], ...] = ()

    def literal(self, indent: str) -> str:
        """As PEP 257 has it, for a body that is indented so; the first line without its indentation."""
        if not self.parameters:
            return f'"""{self.first}"""'
        rows = [f"{indent}{STEP}{name}: {text}\n" for name, text in self.parameters]
        return f'"""{self.first}\n\n{indent}Args:\n{"".join(rows)}{indent}"""'


@dataclass(frozen=True)
class Parameter:
    """A parameter under the name that a docstring gives it; one with stars need not be mentioned."""

    name: str

    @property
    def required(self) -> bool:
        """Whether a section of parameters has to name it."""
        return not self.name.startswith("*")


def parameters_of(node: Function) -> tuple[Parameter, ...]:
    """The parameters in the order of the signature, without the object or class of a method."""
    arguments = node.args
    names = [one.arg for one in [*arguments.posonlyargs, *arguments.args]]
    names = names[1:] if names[:1] and names[0] in FIRST_OF_METHODS else names
    names += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
    names += [one.arg for one in arguments.kwonlyargs]
    names += [f"**{arguments.kwarg.arg}"] if arguments.kwarg else []
    return tuple(map(Parameter, names))


def opened(function: str) -> tuple[SourceText, Function]:
    """The text of one function, which may be indented, parsed. Raises ValueError for what is none, or as `SourceText`."""
    source = SourceText(f"if 1:\n{function}" if function[:1].isspace() else function)
    found = next(source.functions(), None)
    if found is None:
        raise ValueError("not a function")
    return source, found


def cut(source: SourceText, node: Function) -> Edit | None:
    """The edit that takes a docstring out with its lines and the empty ones behind it.

    None where there is none, where nothing else is in the body, or where it shares its lines.
    """
    if ast.get_docstring(node, clean=False) is None or len(node.body) < 2:
        return None
    text, (begin, end) = source.text, source.span(node.body[0])
    first, last = text.rfind("\n", 0, begin) + 1, text.find("\n", end)
    if last < 0 or text[first:begin].strip() or text[end:last].strip():
        return None
    following = re.compile(r"\n(?:[ \t\r]*\n)*").match(text, last)
    return Edit(first, following.end() if following else last + 1, "", "cut", node.body[0].lineno)


@dataclass(frozen=True)
class Place:
    """Where a docstring goes: these characters of the source, between these texts, in a body indented so."""

    start: int
    end: int
    before: str
    after: str
    indent: str

    def edit(self, docstring: Docstring) -> Edit:
        """The edit that puts a docstring there; its lines end as those around it do."""
        newline = "\r\n" if "\r\n" in self.before + self.after else "\n"
        literal = docstring.literal(self.indent).replace("\n", newline)
        return Edit(self.start, self.end, self.before + literal + self.after, "insert", 0)


def place(source: SourceText, node: Function) -> Place:
    """Where the docstring of a function that has none belongs: behind the header and its comment."""
    text, first = source.text, node.body[0]
    line = first_line(first)
    start = source.offset(line, first.col_offset)
    colon = max(token[1] for token in source.tokens if token[2] == ":" and token[1] <= start)
    end_of_header = text.find("\n", colon)
    newline = "\r\n" if text[: text.find("\n") + 1].endswith("\r\n") else "\n"
    if 0 <= end_of_header < start and not text[colon:end_of_header].rstrip().endswith("\\"):
        indent = text[text.rfind("\n", 0, start) + 1 : start]
        return Place(end_of_header + 1, end_of_header + 1, indent, newline, indent)
    outside = text[source.offset(node.lineno, 0) : source.span(node)[0]]
    indent = outside + ("\t" if "\t" in outside else STEP)
    return Place(colon, start, newline + indent, newline + indent, indent)


def insert(function: str, docstring: Docstring) -> str:
    """The text of a function with a docstring. Raises ValueError for one that has one already, or that is no function."""
    source, node = opened(function)
    if ast.get_docstring(node, clean=False) is not None:
        raise ValueError(f"{node.name} has a docstring")
    return place(source, node).edit(docstring).apply(source.text)[len(source.text) - len(function) :]


def bare(text: str) -> str:
    """The syntax tree of a text without the docstrings of functions, as a text to compare. Raises as `ast.parse`."""
    tree = parsed(text)
    for node in ast.walk(tree):
        if isinstance(node, Function) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def verified(function: str, after: str, widest: int) -> bool:
    """Whether a function is the other with a docstring: the same tree, real parameters all named once, no line too wide."""
    try:
        old, new = opened(function), opened(after)
        same = bare(old[0].text) == bare(new[0].text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    text = ast.get_docstring(new[1], clean=False)
    if not same or not text or ast.get_docstring(old[1], clean=False) is not None:
        return False
    first, last = new[1].body[0].lineno, new[1].body[0].end_lineno or 0
    if any(len(new[0].line(number).rstrip()) > widest for number in range(first, last + 1)):
        return False
    names, parameters = list(described(inspect.cleandoc(text))), parameters_of(new[1])
    return not names or _in_order(names, parameters)


def _in_order(names: Sequence[str], parameters: Sequence[Parameter]) -> bool:
    real = [one.name.lstrip("*") for one in parameters if one.required or one.name.lstrip("*") in names]
    return list(names) == real


def widest_line(text: str) -> int:
    """How wide new lines of a file may be: as its widest, within bounds."""
    return min(MAX_LINE, max(USUAL_LINE, max(map(len, text.splitlines()), default=0)))


def read_docstring(text: str, parameters: Sequence[Parameter]) -> Docstring | None:
    """The first sentence of a docstring, and its parameters where it describes all that it must; None where it has no sentence
    of three words."""
    lines = inspect.cleandoc(text).split("\n")
    first = sentence(_paragraph(lines), MAX_FIRST)
    if first is None or sum(any(map(str.isalpha, word)) for word in first.split(" ")) < 3:
        return None
    said = described("\n".join(lines))
    rows = [(one.name, sentence(said.get(one.name.lstrip("*"), "").split("\n"), MAX_PARAMETER)) for one in parameters]
    complete = all(row for (_, row), one in zip(rows, parameters, strict=True) if one.required)
    return Docstring(first, tuple((name, row) for name, row in rows if row) if complete else ())


def _paragraph(lines: Sequence[str]) -> list[str]:
    end = next((number for number, line in enumerate(lines) if _PARAGRAPH_ENDS.match(line)), len(lines))
    return list(lines[:end])


def sentence(lines: Iterable[str], most: int) -> str | None:
    """The first sentence of lines, with a period; None where it is empty, too long or cannot stand in a docstring."""
    text = " ".join(" ".join(lines).split())
    found = _SENTENCE_ENDS.search(text)
    text = (text[: found.start()] if found else text).rstrip(" .!?")
    if not text or text[-1] in ":;,-" or len(text.encode()) >= most or _UNFIT.search(text) or not text.isprintable():
        return None
    return f"{text}."


def rambles(text: str) -> bool:
    """Whether a sentence goes in circles, as small models do: three words of it in a row stand there twice."""
    words = re.findall(r"\w+", text.lower())
    often = Counter(tuple(words[at : at + 3]) for at in range(len(words) - 2))
    return max(often.values(), default=0) > 1


def speaks_of(sentence: str, code: str) -> bool:
    """Whether a sentence shares a word of some length with the names in some code: one that does not is about other code.

    Code that has no such names is spoken of by any sentence.
    """
    names = _stems(code)
    return not names or bool(names & _stems(sentence))


def _stems(text: str) -> set[str]:
    """The beginnings of its words that are not too short to say anything."""
    return {word[:STEM] for word in map(str.lower, parts_of_names(text)) if len(word) >= SHORTEST and word not in _SAYS_NOTHING}


def described(text: str) -> dict[str, str]:
    """What a docstring without indentation says of each parameter, by its name without stars."""
    lines, found = text.split("\n"), dict[str, list[str]]()
    for number, line in enumerate(lines):
        underlined = number + 1 < len(lines) and re.fullmatch(r"\s*-{3,}\s*", lines[number + 1])
        if _SECTION.match(line):
            _google(lines[number + 1 :], found)
        elif line.strip() in ("Parameters", "Other Parameters") and underlined:
            _numpy(lines[number + 2 :], found)
        elif field := _FIELD.match(line):
            following = lines[number + 1 :]
            end = next((k for k, one in enumerate(following) if not one[:1].isspace() or not one.strip()), len(following))
            found.setdefault(field[1], [field[2], *following[:end]])
    return {name.lstrip("*"): "\n".join(_paragraph([said for said in rows if said.strip()])) for name, rows in found.items()}


def _google(lines: Sequence[str], found: dict[str, list[str]]) -> None:
    """Entries of a section, indented below its head; continued lines are indented further."""
    depth, rows = 0, list[str]()
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line.strip() and not indent:
            break
        depth = depth or indent
        entry = _ENTRY.match(line.strip()) if indent == depth else None
        if entry:
            rows = found.setdefault(entry[1], [])
            rows.append(entry[2])
        elif line.strip():
            rows.append(line)


def _numpy(lines: Sequence[str], found: dict[str, list[str]]) -> None:
    """Entries of a section: names and a type, and indented lines that describe them."""
    names: list[str] = []
    for number, line in enumerate(lines):
        if number + 1 < len(lines) and re.fullmatch(r"\s*-{3,}\s*", lines[number + 1]):
            break
        if line[:1].strip():
            entry = _NUMPY.match(line)
            if entry is None:
                break
            names = [name.strip().lstrip("\\") for name in entry[1].split(",")]
            for name in names:
                found.setdefault(name, [])
        elif line.strip():
            for name in names:
                found[name].append(line)
