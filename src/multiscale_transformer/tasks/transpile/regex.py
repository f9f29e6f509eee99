"""Regular expressions of the transpiler: literal patterns that mean the same in JavaScript, and the functions of `re`."""

from __future__ import annotations

import ast
import re

from multiscale_transformer.tasks.transpile.calls import Calls
from multiscale_transformer.tasks.transpile.types import MATCH, PATTERN, STR, list_of
from multiscale_transformer.tasks.transpile.values import (
    COALESCE,
    Js,
    refuse,
)  # fmt: skip

_FLAGS = {"I": "i", "IGNORECASE": "i", "M": "m", "MULTILINE": "m", "S": "s", "DOTALL": "s"}
_FUNCTIONS = ("search", "match", "fullmatch", "findall", "sub", "split", "finditer")


def regex_call(translator: Calls, node: ast.Call) -> Js | None:
    """A call of a function of `re`, or of a method of a pattern; None for any other call."""
    name = translator.callee(node.func)
    if name == "re.compile":
        return Js(f"/{pattern_of(translator, node.args[0])}/", PATTERN)
    if name.startswith("re.") and name[3:] in _FUNCTIONS:
        return _applied(translator, name[3:], node.args[0], node.args[1:], node)
    func = node.func
    if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.attr in _FUNCTIONS:
        compiled = translator.constants.get(func.value.id)
        if isinstance(compiled, ast.Call) and translator.callee(compiled.func) == "re.compile":
            return _applied(translator, func.attr, compiled.args[0], node.args, node)
    return None


def pattern_of(translator: Calls, node: ast.expr) -> str:
    """The text between the slashes. Raises Untranslatable for no literal and for parts that only Python knows."""
    if isinstance(node, ast.Name):
        node = translator.constants.get(node.id, node)
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        raise refuse("a pattern that is no literal", node)
    text = re.sub(r"\(\?P<", "(?<", node.value)
    text = text.replace("\\A", "^").replace("\\Z", "$")
    if re.search(r"\(\?[aiLmsux#(P]|\{,|\\[NuU]|\[\]|\[\^\]|\+\+|\*\+", text):
        raise refuse("a pattern that JavaScript reads otherwise", node)
    return re.sub(r"(?<!\\)((?:\\\\)*)/", r"\1\\/", text).replace("\n", "\\n") or "(?:)"


def _applied(translator: Calls, name: str, pattern: ast.expr, rest: list[ast.expr], node: ast.Call) -> Js:
    text = pattern_of(translator, pattern)
    flags = ""
    wanted = {"sub": 2, "split": 1}.get(name, 1)
    extra = [*rest[wanted:], *(keyword.value for keyword in node.keywords if keyword.arg == "flags")]
    for one in extra:
        if not (isinstance(one, ast.Attribute) and one.attr in _FLAGS) or len(extra) > 1:
            raise refuse("an option of a regular expression", node)
        flags = _FLAGS[one.attr]
    values = [translator.expression(one) for one in rest[:wanted] if not isinstance(one, ast.Lambda)]
    subject = values[-1]
    if subject.type.kind != "str":
        raise refuse("a regular expression on something else than a string", node)
    if name in ("search", "match", "fullmatch"):
        anchored = {"search": text, "match": f"^(?:{text})", "fullmatch": f"^(?:{text})$"}[name]
        if name == "match" and "|" not in text:
            anchored = text if text.startswith("^") else f"^{text}"
        return Js(f"{subject.member}.match(/{anchored}/{flags})", MATCH)
    groups = re.compile(
        pattern_of(translator, pattern).replace("(?<", "(?P<") if "(?<=" not in text and "(?<!" not in text else text
    ).groups
    if name == "findall" and groups <= 1:
        if groups == 0:
            return Js(f"{subject.member}.match(/{text}/g{flags}) ?? []", list_of(STR), COALESCE)
        return Js(f"[...{subject.member}.matchAll(/{text}/g{flags})].map((match) => match[1])", list_of(STR))
    if name == "finditer":
        return Js(f"[...{subject.member}.matchAll(/{text}/g{flags})]", list_of(MATCH))
    if name == "split" and groups == 0:
        return Js(f"{subject.member}.split(/{text}/{flags})", list_of(STR))
    if name == "sub":
        return _substituted(translator, rest[0], subject, f"/{text}/g{flags}")
    raise refuse(f"re.{name} with groups", node)


def _substituted(translator: Calls, new: ast.expr, subject: Js, pattern: str) -> Js:
    if isinstance(new, ast.Constant) and isinstance(new.value, str):
        if re.search(r"\\(?![1-9])", new.value):
            raise refuse("a replacement with escapes", new)
        text = translator.expression(ast.Constant(re.sub(r"\\([1-9])", r"$\1", new.value.replace("$", "$$")))).text
        return Js(f"{subject.member}.replace({pattern}, {text})", STR)
    if isinstance(new, ast.Lambda):
        raise refuse("a replacement that is a function", new)
    return Js(f"{subject.member}.replace({pattern}, () => {translator.expression(new).text})", STR)
