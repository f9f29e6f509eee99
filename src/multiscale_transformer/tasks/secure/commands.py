"""Rules of texts that another language reads: commands for a shell, and SQL, with values written into them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from multiscale_transformer.tasks.secure.calls import Call, removed_span
from multiscale_transformer.tasks.secure.code import form, simple
from multiscale_transformer.tasks.source_text import Edit

_STARTERS = {"subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output", "subprocess.Popen",
             "check_call", "check_output", "Popen", "run"}  # fmt: skip
_WORD = re.compile(r"[\w./:=@,+-]+")
_WORDS = re.compile(r"(?:\{[^{}]*\}|[^\s{}])+")
_VALUE = re.compile(r"\{([^{}!:'\"\\]+)\}")
_FOR_A_SHELL = set("|<>&;*$`~#\\'\"()")
_JOINED = '" ".join('
_PLAIN = re.compile(r"f(['\"])(.*)\1")
_MARKS = ("?", "%s")


def shell_injected(call: Call) -> Iterator[Edit]:
    """A list of arguments becomes a command for a shell."""
    if call.name not in _STARTERS or not call.node.args or call.keyword("shell") or call.takes_unknown:
        return
    first, end = call.node.args[0], call.end()
    if end is None or isinstance(first, ast.Starred):
        return
    if isinstance(first, ast.List):
        commands = [("f-string", _as_command(call, first)), ("join", f"{_JOINED}{call.code.of(first)})")]
    else:
        commands = [("join", f"{_JOINED}{call.code.of(first)})" if simple(first) else None)]
    begin, behind = call.code.span(first)
    for unsafe, command in commands:
        if command is not None:
            text = f"{command}{call.code.text[behind:end]}, shell=True"
            yield Edit(begin, end, text, form("shell", unsafe, "list"), call.node.lineno)


def _as_command(call: Call, node: ast.List) -> str | None:
    """The words of a list in one text, as an f-string where there are values among them; None where that would need quoting."""
    words, quote = [], ""
    for element in node.elts:
        text = call.code.of(element)
        if isinstance(element, ast.Constant) and isinstance(element.value, str) and _WORD.fullmatch(element.value):
            quote = quote or text[0]
            words.append(element.value)
        elif isinstance(element, ast.JoinedStr) and (plain := _PLAIN.fullmatch(text)) and not set(plain[2]) & {plain[1], " "}:
            quote = quote or plain[1]
            words.append(plain[2])
        elif simple(element) and _VALUE.fullmatch(f"{{{text}}}"):
            words.append(f"{{{text}}}")
        else:
            return None
    if quote not in {"'", '"'} or not words:
        return None
    return f"{'f' if any('{' in word for word in words) else ''}{quote}{' '.join(words)}{quote}"


def shell_repaired(call: Call) -> Iterator[Edit]:
    """A command for a shell becomes a list of arguments."""
    keyword = call.keyword("shell")
    if keyword is None or not call.node.args or call.code.of(keyword.value) != "True":
        return
    first, span = call.node.args[0], removed_span(call, keyword)
    begin, behind = call.code.span(first)
    if span is None or span[0] < behind:
        return
    command = call.code.of(first)
    if command.startswith(_JOINED) and command.endswith(")"):
        found = [("join", "list", command[len(_JOINED) : -1])]
    elif simple(first):
        found = [("value", "split", f"shlex.split({command})"), ("value", "list", command)]
    else:
        listed = _as_list(command) or _as_list(_as_f_string(call, first))
        found = [("f-string", "list", listed)] if listed else []
    for unsafe, safe, text in found:
        rest = call.code.text[behind : span[0]]
        yield Edit(begin, span[1], f"{text}{rest}", form("shell", unsafe, safe), call.node.lineno)


def _as_f_string(call: Call, node: ast.expr) -> str:
    """A sum of texts and names as an f-string; empty where it is something else."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _as_f_string(call, node.left), _as_f_string(call, node.right)
        return f"{left[:-1]}{right[2:]}" if left and right else ""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and not set(node.value) & set("{}'\"\\\n"):
        return f'f"{node.value}"'
    return f'f"{{{call.code.of(node)}}}"' if isinstance(node, ast.Name | ast.Attribute) else ""


def _as_list(command: str) -> str | None:
    """The list of words of a command; None for one that needs a shell."""
    parts = re.fullmatch(r"(f?)(['\"])([^'\"]*)\2", command)
    if parts is None:
        return None
    is_f_string, quote, inside = parts.groups()
    words = []
    for word in _WORDS.findall(inside):
        value = _VALUE.fullmatch(word) if is_f_string else None
        if set(_VALUE.sub("", word)) & _FOR_A_SHELL:
            return None
        words.append(value[1] if value else f"{'f' if is_f_string and '{' in word else ''}{quote}{word}{quote}")
    return f"[{', '.join(words)}]" if words else None


def sql_injected(call: Call) -> Iterator[Edit]:
    """Parameters of a query are written into its text."""
    if call.last != "execute" or len(call.node.args) != 2 or call.node.keywords:
        return
    query, values = call.node.args
    if not (isinstance(query, ast.Constant) and isinstance(query.value, str) and isinstance(values, ast.Tuple | ast.List)):
        return
    text, texts = call.code.of(query), [call.code.of(value) for value in values.elts]
    mark = next((mark for mark in _MARKS if texts and text.count(mark) == len(texts)), None)
    one_text = text[:1] in "'\"" and not set(text) & set("{}\\") and text.count("%") == (len(texts) if mark == "%s" else 0)
    if mark is None or not one_text or not all(simple(value) for value in values.elts) or "#" in text:
        return
    begin, end = call.code.span(query)[0], call.code.span(values)[1]
    safe = f"{mark} {type(values).__name__}"
    listed = texts[0] if len(texts) == 1 else f"({', '.join(texts)})"
    percent = f"{text.replace(mark, '%s')} % {listed}"
    yield Edit(begin, end, percent, form("sql", "%", safe), call.node.lineno)
    if all(_VALUE.fullmatch(f"{{{one}}}") for one in texts) and text.count(text[0]) in {2, 6}:
        first, *others = text.split(mark)
        written = first + "".join(f"{{{value}}}{part}" for value, part in zip(texts, others, strict=True))
        yield Edit(begin, end, f"f{written}", form("sql", "f-string", safe), call.node.lineno)


def sql_repaired(call: Call) -> Iterator[Edit]:
    """Values in the text of a query become its parameters."""
    if call.last != "execute" or len(call.node.args) != 1 or call.node.keywords:
        return
    (query,) = call.node.args
    if isinstance(query, ast.BinOp) and isinstance(query.op, ast.Mod) and isinstance(query.left, ast.Constant):
        unsafe, text = "%", call.code.of(query.left)
        values = query.right.elts if isinstance(query.right, ast.Tuple) else [query.right]
        texts = [call.code.of(value) for value in values]
    elif isinstance(query, ast.JoinedStr) and call.code.of(query).startswith("f"):
        unsafe, text = "f-string", call.code.of(query)[1:]
        texts = [value[1] for value in _VALUE.finditer(text)]
        text = _VALUE.sub("%s", text)
    else:
        return
    if not texts or text.count("%") != len(texts) or text.count("%s") != len(texts) or "{" in text:
        return
    text = text.replace("'%s'", "%s") if text[0] == '"' else text
    for mark in _MARKS:
        for kind, opening, closing in (("Tuple", "(", ",)" if len(texts) == 1 else ")"), ("List", "[", "]")):
            written = f"{text.replace('%s', mark)}, {opening}{', '.join(texts)}{closing}"
            yield Edit(*call.code.span(query), written, form("sql", unsafe, f"{mark} {kind}"), call.node.lineno)
