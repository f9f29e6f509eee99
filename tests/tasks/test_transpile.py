"""The rule transpiler: what it writes gives in node what Python gives, and what it does not know it refuses."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from held import needs_sandbox
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.calls import Result
from multiscale_transformer.tasks.javascript import agrees, run_javascript, same_value
from multiscale_transformer.tasks.transpile.transpile import transpile
from multiscale_transformer.tasks.transpile.types import Untranslatable

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
INTEGERS = [-7, -3, -1, 0, 1, 2, 5]
LISTS = [[], [3], [2, 1, 2], [5, -1, 0, 7, 7]]
TEXTS = ["", "a", "Hello World", "  two  words ", "abcABC123", "x-y_z"]
BOUNDS = [None, -9, -2, -1, 0, 1, 3, 9]

RIGHT: dict[str, list[tuple[Any, ...]]] = {
    """
def f(a, b):
    return a % b, a // b, a - b * 2, divmod(a, b), -a ** 2, (-a) ** 2, a / b
""": [(a, b) for a in INTEGERS for b in (-3, -2, 2, 5)],
    """
def f(a, b):
    return a % b, a // b
""": [(a, b) for a in (-7.5, 0.5, 3.25) for b in (-2.0, 0.75)],
    """
def f(a, b):
    return a & b, a | b, a ^ b, ~a, a << 2, b >> 1
""": [(5, 3), (-4, 7), (0, -9)],
    """
def f(xs):
    return xs[-1], xs[0], xs[len(xs) - 1]
""": [([1],), ([1, 2, 3],)],
    """
def f(xs, i):
    return xs[i], xs[i - 1]
""": [([1, 2, 3], i) for i in (-2, -1, 0, 1, 2)],
    """
def f(xs, i):
    xs[i] = 9
    xs[-1] += 1
    return xs
""": [([1, 2, 3], i) for i in (-3, -1, 0, 2)],
    """
def f(xs, a, b):
    return xs[a:b]
""": [("abcde", a, b) for a, b in product((-9, -2, 0, 1, 4, 9), repeat=2)],
    """
def f(xs):
    return xs[1:], xs[:-1], xs[::-1], xs[::2], xs[3:0:-1], xs[-3::-2], xs[:]
""": [([1, 2, 3, 4, 5],), ([],), ([1],)],
    """
def f(s):
    return s[::-1], s[1:3], s[-2:]
""": [(text,) for text in TEXTS],
    """
def f(xs):
    if not xs:
        return 'none'
    return 'some' if xs else 'never'
""": [(xs,) for xs in LISTS],
    """
def f(d):
    return [k for k in d if d[k]], bool(d), len(d)
""": [({},), ({"a": 1, "b": 0},), ({"x": 2},)],
    """
def f(s):
    return s.upper(), s.lower(), s.strip(), s.title(), s.capitalize(), s.swapcase(), s.count('l')
""": [(t,) for t in TEXTS],
    """
def f(s):
    return s.split(), s.split('-'), s.replace('l', '$&'), s.find('o'), s.startswith('a'), s.endswith('d')
""": [(text,) for text in TEXTS],
    """
def f(s):
    return s.isdigit(), s.isalpha(), s.isalnum(), s.isupper(), s.islower(), s.isspace()
""": [(text,) for text in [*TEXTS, "12", "AB", "ab", "   ", "A1", "1"]],
    """
def f(s):
    return s.strip('ab'), s.lstrip('a'), s.rstrip('b'), s.zfill(4), s.ljust(3) + '|', s.rjust(3, '*')
""": [(text,) for text in ("aabxab", "", "ba", "x")],
    """
def f(n, x, s):
    return f'{n} {x:.2f} {s} {n:03d}', '%d %s' % (n, s), '{} {}'.format(s, n), str(x), f'`${n}'
""": [(7, 1.5, "a"), (-2, 2.0, "`")],
    """
def f(xs):
    return sorted(xs), sorted(xs, reverse=True), sum(xs), len(xs), [x * x for x in xs if x > 1]
""": [(x,) for x in LISTS],
    """
def f(xs):
    return min(xs), max(xs), min(xs, key=abs), max(xs, key=lambda x: (x % 3, x))
""": [(xs,) for xs in LISTS[1:]],
    """
def f(ws):
    return sorted(ws, key=len), sorted(ws, key=lambda w: (-len(w), w)), max(ws, key=len), sorted(ws)
""": [(["bb", "a", "ccc", "aa"],), (["x", "B", "a"],)],
    """
def f(xs):
    xs.sort(key=lambda p: p[1], reverse=True)
    return xs
""": [([(1, 2), (3, 2), (0, 5)],)],
    """
def f(xs):
    d = {}
    for x in xs:
        d[x] = d.get(x, 0) + 1
    return d, sorted(d.items()), list(d.values())
""": [(["2", "1", "2"],), (["b", "constructor"],)],
    """
def f(xs):
    d = {}
    for i, x in enumerate(xs):
        d[x, i % 2] = i
    return d, (1, 0) in d, len(d)
""": [(xs,) for xs in LISTS],
    """
def f(xs):
    seen = set()
    for a, b in xs:
        seen.add((a, b))
    return len(seen), (1, 2) in seen, seen
""": [([(1, 2), (1, 2), (2, 1)],)],
    """
def f(a, b):
    return set(a) & set(b), set(a) | set(b), set(a) - set(b), sorted(set(a)), len(set(b))
""": [([1, 2, 2], [2, 3])],
    """
from collections import Counter, defaultdict
def f(s):
    g = defaultdict(list)
    for c in s:
        g[c.lower()].append(c)
    return Counter(s).most_common(2), dict(g), Counter(s)['zz']
""": [("abcAab",), ("210012",)],
    """
def f(a, b):
    return a == b, a != b, a in [b], a < b
""": [([1, 2], [1, 2]), ([1], [2]), ([1, 2], [1])],
    """
def f(a, b):
    return a == b, (a, 1) == (b, 1)
""": [({"x": [1]}, {"x": [1]}), ({"x": [1]}, {"y": [1]})],
    """
def f(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a
""": [(n,) for n in range(9)],
    """
def f(n):
    for i in range(2, n):
        if n % i == 0:
            break
    else:
        return 'prime'
    return i
""": [(n,) for n in (2, 9, 13, 25)],
    """
def f(n):
    out = []
    for i in range(n, -1, -2):
        out.append(i)
    return out, list(range(1, n)), [j for j in range(n)]
""": [(0,), (5,)],
    """
def f(n):
    t = 0
    for i in range(n):
        i += 2
        t += i
    return t
""": [(4,)],
    """
def f(xs):
    for i in range(len(xs)):
        xs.append(i)
    return xs
""": [([1, 2],)],
    """
def f(xs):
    for x in list(xs):
        if x > 1:
            xs.remove(x)
    return xs
""": [([1, 2, 3, 4],)],
    """
def f(xs):
    first, *rest = xs
    a, b = rest[0], first
    return rest, [a, b], [*xs, 0]
""": [([1, 2, 3],)],
    """
def f(xs, ys):
    return (
        list(zip(xs, ys)), list(map(lambda a, b: a * b, xs, ys)),
        list(map(str, xs)), any(x > 2 for x in xs),
    )
""": [([1, 2, 3], [4, 5])],
    """
def f(xs):
    return all(xs), any(xs), [y for x in xs for y in range(x)], list(filter(None, xs))
""": [([1, 0, 3],), ([],)],
    """
def f(n):
    def g(k):
        return 1 if k < 2 else k * g(k - 1)
    h = lambda x: x + 1
    return g(n) + h(n)
""": [(5,), (0,)],
    """
def f(n):
    total = 0
    def add(k):
        nonlocal total
        total += k
    add(n)
    add(1)
    return total
""": [(5,)],
    """
import math
def f(x):
    return math.floor(x), math.ceil(x), math.sqrt(x), round(x), round(x, 1), int(x), math.gcd(12, 18)
""": [(x,) for x in (0.5, 1.5, 2.5, 2.25, 0.35, 7.0)],
    r"""
import re
def f(s):
    m = re.search(r'[a-z]+', s)
    return re.sub(r'\d', '#', s), re.findall(r'[A-Z]', s), m.group() if m else None
""": [(text,) for text in TEXTS],
    """
def f(n):
    return bin(n), hex(n), chr(97 + n % 26), ord('a'), int('12') + int(str(abs(n)))
""": [(5,), (-5,), (30,)],
    """
def f(x):
    if x < 0:
        raise ValueError('negative')
    return x
""": [(1,), (-1,)],
    """
def f(new, default):
    var = new + default
    return var
""": [(1, 2)],
    """
def f(xs):
    return sum([int(isinstance(x, str)) for x in xs]), [len(x) if isinstance(x, str) else x for x in xs]
""": [([1, "ab"],)],
    """
def f(n):
    grid = [[0] * n for _ in range(n)]
    grid[0][0] = 1
    while n > 0:
        n -= 1
        if n == 1:
            continue
        grid[n][0] += 2
    return grid
""": [(3,)],
}

REFUSED = {
    "def f(xs):\n    return list(set(xs))": "the order of a set",
    "def f(a):\n    return a.unknown(1)": "unknown",
    "def f(a):\n    with open(a) as b:\n        return b": "With",
    "def f(a):\n    try:\n        return 1\n    except ValueError:\n        return 2": "Try",
    "def f(a):\n    return eval(a)": "eval",
    "def f(a):\n    return 2 ** 3 + 99999999999999999999": "larger",
    "def f(a):\n    b = []\n    c = b.append(1) or 2\n    return c": "append gives",
    "def f(a):\n    yield a": "nothing is done with",
    "def f(a, *, b):\n    return b": "keyword-only",
    "def f(modulo):\n    return modulo % -3": "taken by a helper",
}


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def in_python(source: str, arguments: tuple[Any, ...]) -> Result:
    names: dict[str, Any] = {}
    exec(source, names)
    try:
        value = names["f"](*ast.literal_eval(repr(arguments)))
    except Exception as error:
        return Result(kind="raised", text=type(error).__name__)
    return Result(kind="value", text=repr(dict(value) if type(value).__name__ == "Counter" else value))


@needs_node
@needs_sandbox
@pytest.mark.parametrize("source", RIGHT)
def test_node_gives_what_python_gives(source: str, box: Sandbox) -> None:
    calls = RIGHT[source]
    code = transpile(source, "f", calls)
    found = run_javascript(box, code, "f", calls)
    for arguments, one in zip(calls, found, strict=True):
        assert agrees(in_python(source, arguments), one), (arguments, in_python(source, arguments), one, code)


@needs_node
@needs_sandbox
def test_slices_with_any_bounds_and_steps_are_pythons(box: Sandbox) -> None:
    steps = [step for step in range(-3, 4) if step]
    parts = [":".join("" if one is None else str(one) for one in bounds) for bounds in product(BOUNDS, BOUNDS, steps)]
    source = f"def f(xs):\n    return [{', '.join(f'xs[{part}]' for part in parts)}]"
    for calls in ([("abcde",), ("",)], [([1, 2, 3, 4],), ([],)]):
        for arguments, one in zip(calls, run_javascript(box, transpile(source, "f", calls), "f", calls), strict=True):
            assert agrees(in_python(source, arguments), one)


@pytest.mark.parametrize("source", REFUSED)
def test_what_is_not_known_is_refused_with_the_reason(source: str) -> None:
    with pytest.raises(Untranslatable, match=REFUSED[source]):
        transpile(source, "f", [(3,)] if "xs" not in source else [([3],)])


def test_without_types_an_operator_is_refused() -> None:
    with pytest.raises(Untranslatable):
        transpile("def f(a, b):\n    return a + b", "f", [])
    assert "a + b" in transpile("def f(a: int, b: int) -> int:\n    return a + b", "f")


def test_the_text_is_idiomatic() -> None:
    loop = "    for i in range(len(xs)):\n        out.append(f'{xs[i] // k}!')\n"
    source = f"def total(xs, k):\n    out = []\n{loop}    return ' '.join(out)"
    assert transpile(source, "total", [([1], 2)]) == (
        "function total(xs, k) {\n  const out = [];\n  for (let i = 0; i < xs.length; i++) {\n"
        '    out.push(`${Math.floor(xs[i] / k)}!`);\n  }\n  return out.join(" ");\n}'
    )


def test_values_are_compared_as_python_would() -> None:
    assert same_value((1, 2.0), ["list", [["value", 1], ["value", 2]]])
    assert not same_value([1, 2], ["list", [["value", 2], ["value", 1]]])
    assert same_value({2, 1}, ["set", [["value", 1], ["value", 2]]])
    assert same_value({1: "a"}, ["object", [[["value", "1"], ["value", "a"]]]])
    assert not same_value(True, ["value", 1])
    assert not same_value(1, ["value", True])
    assert same_value(float("inf"), ["number", "Infinity"])
    assert not same_value(None, ["undefined"])
