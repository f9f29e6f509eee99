"""Rules of unsafe Python code: each turns a safe place of a text into an unsafe one, and proposes the way back.

`injections` are the faults to learn from, made of real safe code; `repairs` are what may be proposed for a text, at every place
that has the unsafe form. Most such places are harmless: `a == b` is unsafe where b is a signature, and `md5` where it is one.
Telling them apart is not the rules' task (`tasks.secure.order`). An edit's operator is `rule: unsafe form <- safe form`.

The rules are those of CWE's list that one expression shows, as bandit and ruff's S have them, and what no pattern alone can
see: comparisons that leak time, and escapes, quotes and timeouts that are missing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence

from multiscale_transformer.tasks.secure.calls import Call, rules_of_calls
from multiscale_transformer.tasks.secure.code import Code, dotted, edited, form, simple
from multiscale_transformer.tasks.secure.commands import shell_injected, shell_repaired, sql_injected, sql_repaired
from multiscale_transformer.tasks.source_text import Edit, parses

RENAMED: dict[str, tuple[tuple[str, str], ...]] = {  # rule: names of the safe and of the unsafe one
    "hash": (
        ("hashlib.sha256", "hashlib.md5"), ("hashlib.sha256", "hashlib.sha1"), ("hashlib.sha512", "hashlib.md5"),
        ("hashlib.sha512", "hashlib.sha1"), ("sha256", "md5"), ("sha256", "sha1"), ("hashes.SHA256", "hashes.MD5"),
        ("hashes.SHA256", "hashes.SHA1"),
    ),
    "random": (
        ("secrets.choice", "random.choice"), ("secrets.randbelow", "random.randrange"), ("os.urandom", "random.randbytes"),
        ("secrets.randbits", "random.getrandbits"), ("secrets.token_bytes", "random.randbytes"),
        ("secrets.SystemRandom", "random.Random"), ("random.SystemRandom", "random.Random"), ("uuid.uuid4", "uuid.uuid1"),
        ("uuid4", "uuid1"), ("SystemRandom", "Random"),
    ),
    "yaml": (
        ("yaml.safe_load", "yaml.unsafe_load"), ("yaml.safe_load", "yaml.full_load"), ("yaml.SafeLoader", "yaml.Loader"),
        ("yaml.safe_load_all", "yaml.unsafe_load_all"), ("yaml.SafeLoader", "yaml.UnsafeLoader"),
        ("yaml.CSafeLoader", "yaml.CLoader"),
    ),
    "tls": (
        ("ssl.create_default_context", "ssl._create_unverified_context"), ("ssl.CERT_REQUIRED", "ssl.CERT_NONE"),
        ("ssl.PROTOCOL_TLS_CLIENT", "ssl.PROTOCOL_TLSv1"), ("ssl.PROTOCOL_TLS_CLIENT", "ssl.PROTOCOL_SSLv23"),
    ),
    "eval": (("ast.literal_eval", "eval"), ("literal_eval", "eval"), ("json.loads", "eval")),
    "pickle": (
        ("json.loads", "pickle.loads"), ("json.load", "pickle.load"), ("json.loads", "marshal.loads"),
        ("json.load", "marshal.load"),
    ),
    "temp": (("tempfile.mkdtemp", "tempfile.mktemp"), ("mkdtemp", "mktemp")),
}  # fmt: skip
TEMPLATES: dict[str, tuple[tuple[str, str, str, str], ...]] = {  # rule: safe name and text, unsafe name and text, of arguments
    "yaml": (("yaml.safe_load", "yaml.safe_load({})", "yaml.load", "yaml.load({}, Loader=yaml.Loader)"),),
    "random": (("secrets.token_hex", "secrets.token_hex({})", "random.randbytes", "random.randbytes({}).hex()"),),
    "temp": (("tempfile.mkstemp", "tempfile.mkstemp({})[1]", "tempfile.mktemp", "tempfile.mktemp({})"),),
}
WRAPPED: dict[str, tuple[tuple[str, ...], str]] = {  # rule: what wraps a value, and words of texts where it may be missing
    "pattern": (("re.escape",), r"\bre\.|regex|pattern|compile"),
    "markup": (
        ("html.escape", "escape", "markupsafe.escape", "saxutils.escape", "conditional_escape", "quoteattr"),
        r"<[/\w]|html|xml|markup|escape|svg",
    ),
    "shell quote": (
        ("shlex.quote", "pipes.quote", "shlex_quote", "shell_quote"),
        r"cmd|command|shell|ssh|\bsh\b|bash|exec|system|Popen",
    ),
    "url quote": (
        ("urllib.parse.quote", "quote", "quote_plus", "urllib.parse.quote_plus", "parse.quote"),
        r"ur[li]|http|href|query",
    ),
    "path": (("os.path.basename", "secure_filename", "basename"), r"file_?name|upload|os\.path|path\.join|joinpath"),
}  # fmt: skip
COMPARE = ("hmac.compare_digest", "compare_digest", "secrets.compare_digest", "constant_time_compare")
SAFE_MODES, UNSAFE_MODES = ("0o600", "0o700", "0o644", "0o755", "0o640", "0o750"), ("0o777", "0o666")
FLAGS: dict[str, bool] = {  # keywords and attributes, and what is safe
    "verify": True, "autoescape": True, "check_hostname": True, "allow_pickle": False, "weights_only": True, "httponly": True,
    "secure": True, "resolve_entities": False, "no_network": True, "verify_ssl": True, "validate_certs": True,
    "trust_remote_code": False, "ssl_verify": True, "shell": False, "debug": False,
    "forbid_dtd": True, "allow_redirects": False,
}  # fmt: skip
LOCAL, ANYWHERE = ("127.0.0.1", "localhost", "::1"), ("0.0.0.0", "")
_NO_PATTERN = {
    "len",
    "isinstance",
    "int",
    "float",
    "bool",
    "range",
    "type",
    "super",
    "hasattr",
    "getattr",
    "id",
    "print",
    "repr",
}
_TESTED = (
    ast.If | ast.While | ast.BoolOp | ast.Return | ast.Assign | ast.Assert | ast.IfExp | ast.keyword | ast.Call | ast.UnaryOp
)
RULES = (
    *dict.fromkeys((*RENAMED, *TEMPLATES, *WRAPPED)), "compare", "mode", "flag", "bind", "https", "timeout", "tar", "verify",
    "shell", "sql",
)  # fmt: skip


def rule_of(edit: Edit) -> str:
    """The name of the rule that an edit is of."""
    return edit.operator.partition(":")[0]


def injections(code: Code) -> list[Edit]:
    """Edits that each make one safe place unsafe, in the order of the text; the edited texts parse."""
    return [edit for edit in _distinct(_all(code, inject=True)) if parses(edit.apply(code.text))]


def repairs(code: Code) -> list[Edit]:
    """Edits that each make safe what may be an unsafe place, in the order of the text. They may not parse."""
    return _distinct(_all(code, inject=False))


def _distinct(edits: Iterable[Edit]) -> list[Edit]:
    return sorted({(edit.start, edit.end, edit.text): edit for edit in edits}.values())


def _all(code: Code, *, inject: bool) -> Iterator[Edit]:
    contexts = {rule: re.search(pattern, code.text, re.IGNORECASE) is not None for rule, (_, pattern) in WRAPPED.items()}
    for node in code.nodes:
        if isinstance(node, ast.Name | ast.Attribute):
            yield from _renamed(code, node, inject=inject)
            yield from _flag_set(code, node, inject=inject)
        if isinstance(node, ast.Call):
            call = Call(code, node)
            yield from _templates(call, inject=inject)
            yield from rules_of_calls(call, inject=inject)
            yield from _flags(call, inject=inject)
            yield from shell_injected(call) if inject else shell_repaired(call)
            yield from sql_injected(call) if inject else sql_repaired(call)
        if isinstance(node, ast.Constant):
            yield from _constants(code, node, inject=inject)
        if inject:
            yield from _unwrapped(code, node)
            yield from _compared_openly(code, node)
        else:
            yield from _wrapped(code, node, contexts)
            yield from _compared_safely(code, node)


def _renamed(code: Code, node: ast.expr, *, inject: bool) -> Iterator[Edit]:
    parent = code.parent(node)
    name = dotted(node)
    if not name or isinstance(parent, ast.Attribute) or not isinstance(node.ctx, ast.Load):  # type: ignore[attr-defined]
        return
    called = isinstance(parent, ast.Call) and parent.func is node
    for rule, pairs in RENAMED.items():
        for safe, unsafe in pairs:
            now, other = (safe, unsafe) if inject else (unsafe, safe)
            if name == now and (called or "." in name):
                yield edited(code, node, other, form(rule, unsafe, safe))


def _templates(call: Call, *, inject: bool) -> Iterator[Edit]:
    for rule, templates in TEMPLATES.items():
        for safe, safe_text, unsafe, unsafe_text in templates:
            now, text, other = (safe, safe_text, unsafe_text) if inject else (unsafe, unsafe_text, safe_text)
            around: ast.AST = call.node
            for _ in range(text.count(")[1]") + 2 * text.count(").hex()")):
                around = call.code.parent(around) or around
            pattern, placed = re.escape(text).replace(r"\{\}", "(.*)"), call.name == now and isinstance(around, ast.expr)
            found = re.fullmatch(pattern, call.code.of(around), re.DOTALL) if placed else None
            if found:
                yield edited(call.code, around, other.format(found[1]), form(rule, unsafe, safe))
            elif not inject and rule == "yaml" and call.name == now and len(call.node.args) == 1 and not call.node.keywords:
                yield edited(call.code, call.node, safe_text.format(call.arguments), form(rule, "yaml.load bare", safe))


def _flags(call: Call, *, inject: bool) -> Iterator[Edit]:
    for keyword in call.node.keywords:
        if keyword.arg in FLAGS and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, bool):
            safe = FLAGS[keyword.arg]
            if keyword.arg == "shell" and not inject and not _is_list(call.node.args[:1]):
                continue  # a text needs its shell: other rules make a list of it
            if keyword.value.value is (safe if inject else not safe):
                name = f"{keyword.arg} of {call.last}" if keyword.arg in {"verify", "secure", "debug"} else keyword.arg
                yield edited(call.code, keyword.value, str(not keyword.value.value), form("flag", name, str(safe)))


def _is_list(arguments: Sequence[ast.expr]) -> bool:
    return any(isinstance(one, ast.List | ast.Tuple) for one in arguments)


def _flag_set(code: Code, node: ast.expr, *, inject: bool) -> Iterator[Edit]:
    """The same where it is an attribute that is set."""
    parent = code.parent(node)
    if isinstance(node, ast.Attribute) and node.attr in FLAGS and isinstance(parent, ast.Assign) and node in parent.targets:
        value, safe = parent.value, FLAGS[node.attr]
        if isinstance(value, ast.Constant) and value.value is (safe if inject else not safe):
            yield edited(code, value, str(not value.value), form("flag", node.attr, str(safe)))


def _constants(code: Code, node: ast.Constant, *, inject: bool) -> Iterator[Edit]:
    text = code.of(node)
    if isinstance(node.value, int) and text in (SAFE_MODES if inject else UNSAFE_MODES):
        for other in UNSAFE_MODES if inject else SAFE_MODES:
            unsafe, safe = (other, text) if inject else (text, other)
            yield edited(code, node, other, form("mode", unsafe, safe))
    if not isinstance(node.value, str) or code.is_docstring(node) or text[:1] not in "'\"":
        return
    inside = text[1:-1]
    if node.value == inside and inside in (LOCAL if inject else ANYWHERE):
        hosts = _speaks_of_hosts(code, node) or inside != ""
        for other in (ANYWHERE if inject else LOCAL) if hosts else ():
            unsafe, safe = (other, inside) if inject else (inside, other)
            yield edited(code, node, f"{text[0]}{other}{text[0]}", form("bind", unsafe, safe))
    scheme, other = ("https://", "http://") if inject else ("http://", "https://")
    if node.value.startswith(scheme) and inside.startswith(scheme):
        yield edited(code, node, text.replace(scheme, other, 1), form("https", "http", "https"))


def _speaks_of_hosts(code: Code, node: ast.AST) -> bool:
    return re.search(r"host|bind|listen|addr|server", code.line(node.lineno), re.IGNORECASE) is not None  # type: ignore[attr-defined]


def _unwrapped(code: Code, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords and simple(node.args[0]) and code.place(node):
        for rule, (names, _) in WRAPPED.items():
            if (name := dotted(node.func)) in names:
                yield edited(code, node, code.of(node.args[0]), form(rule, code.place(node), name))


def _wrapped(code: Code, node: ast.AST, contexts: dict[str, bool]) -> Iterator[Edit]:
    """Values that could be escaped: those that go into a text, a call or a result."""
    place = code.place(node)
    if not place or not simple(node):
        return
    around = code.parent(node)
    caller = dotted(around.func) if isinstance(around, ast.Call) else ""
    own = dotted(node.func) if isinstance(node, ast.Call) else ""
    for rule, (names, _) in WRAPPED.items():
        if contexts[rule] and caller not in names and own not in names and caller not in _NO_PATTERN:
            for name in names:
                yield edited(code, node, f"{name}({code.of(node)})", form(rule, place, name))


def _compared_openly(code: Code, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Call) and dotted(node.func) in COMPARE and len(node.args) == 2 and not node.keywords:
        left, right = map(code.of, node.args)
        parent, name = code.parent(node), dotted(node.func)
        if not all(map(simple, node.args)) or not isinstance(parent, _TESTED):
            return
        if isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not):
            yield edited(code, parent, f"{left} != {right}", form("compare", "!=", name))
        else:
            yield edited(code, node, f"{left} == {right}", form("compare", "==", name))


def _compared_safely(code: Code, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq | ast.NotEq):
        right = node.comparators[0]
        if not (simple(node.left) and simple(right) and isinstance(code.parent(node), _TESTED)):
            return
        sign, unsafe = ("", "==") if isinstance(node.ops[0], ast.Eq) else ("not ", "!=")
        for name in COMPARE:
            text = f"{sign}{name}({code.of(node.left)}, {code.of(right)})"
            yield edited(code, node, text, form("compare", unsafe, name))
