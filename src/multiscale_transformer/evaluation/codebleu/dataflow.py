"""Where the values of a text come from: the dataflow match of CodeBLEU.

A token that is no keyword and no mark has a position. An *edge* says that what stands at a position comes from the last
definitions of its name, or is computed from other names. Names are numbered as they appear, so renaming changes nothing, and
two texts are alike as far as their edges are equal.

The rules are those of the package codebleu 0.7.0: the branches of an if are joined, loops are run twice. How it is done is
not: its recursion copies all definitions at every node, fails on deep code and orders names by their hash, so that its score
changes from run to run. Here names keep the order of the text; nodes that wait stand on a stack; a definition that a branch
changes is noted in a journal; and several definitions of a name are one `_Origin` that its users share, so that the cost
grows with the text. Loops within loops still double it each time, and code that takes more than `MAX_STEPS` has no flow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from multiscale_transformer.evaluation.codebleu.languages import PYTHON, Grammar

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

MAX_STEPS = 4_000_000  # nodes visited, names read and definitions joined; a megabyte of code takes two million
WHOLE = frozenset({"string", "string_literal", "character_literal"})  # tokens, whatever is below them
COMES, COMPUTED = "comesFrom", "computedFrom"

Span = tuple[int, int]
Branch = dict[str, "_Origin"]
Visits = Iterator["Node"]  # of children: a step of the walk yields each where it is to be visited


class _Token(NamedTuple):
    position: int
    name: str


class _Edge(NamedTuple):
    position: int
    name: str
    relation: str
    parents: tuple[str, ...]


@dataclass(eq=False, slots=True)
class _Origin:
    """Where a name was defined last: at one position (which `_Walk` knows), or at those of several others."""

    others: tuple[_Origin, ...] = ()
    read: bool = False


class _TooComplexError(Exception):
    pass


Flow = Counter[tuple[int, str, tuple[int, ...]]]  # edges: the name's number, the relation, the numbers of its parents


def flow_of(content: bytes, tree: Tree, grammar: Grammar) -> Flow | None:
    """The edges of a text, and how often each occurs; None where finding them takes more than `MAX_STEPS`."""
    walk = _Walk(content, tree.root_node, grammar)
    try:
        walk.run(tree.root_node)
        return walk.flow()
    except _TooComplexError:
        return None


class _Walk:
    def __init__(self, content: bytes, root: Node, grammar: Grammar) -> None:
        self._grammar, self._content, self._steps = grammar, content, 0
        self._tokens: dict[Span, _Token] = {}
        self._origins: list[_Origin] = []  # by position
        for node in _leaves(root):
            name = content[node.start_byte : node.end_byte].decode("utf-8", "replace")
            self._tokens[node.start_byte, node.end_byte] = _Token(len(self._origins), name)
            self._origins.append(_Origin())
        self._defined: Branch = {}
        self._journals: list[dict[str, _Origin | None]] = []  # for each open branch, what its names were before
        self._edges: list[_Edge] = []

    def run(self, root: Node) -> None:
        """Collect the edges of a tree."""
        steps = [self._visit(root)]
        while steps:
            node = next(steps[-1], None)
            if node is None:
                steps.pop()
            else:
                self._spend(1)
                steps.append(self._visit(node))

    def flow(self) -> Flow:
        """The edges, one for each position that some edge needs, with numbers for names in the order of the text."""
        at: dict[int, list[_Edge]] = {}
        for edge in sorted(self._edges, key=lambda edge: edge.position):
            at.setdefault(edge.position, []).append(edge)
        numbers: dict[str, int] = {}
        rows: Flow = Counter()
        for position, edges in at.items():
            if self._origins[position].read:
                parents = tuple([numbers.setdefault(name, len(numbers)) for name in self._joined(edges)])
                rows[numbers.setdefault(edges[0].name, len(numbers)), edges[-1].relation, parents] += 1
        return rows

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise _TooComplexError

    def _visit(self, node: Node) -> Visits:
        grammar, kind = self._grammar, node.type
        if _is_leaf(node):
            self._use(node)
        elif kind in grammar.definitions:
            yield from self._assign(node, "name", "value", COMES)
        elif kind in grammar.assignments:
            yield from self._unpack(node) if grammar is PYTHON else self._assign(node, "left", "right", COMPUTED)
        elif kind in grammar.increments:
            names = self._variables(node)
            self._define(names, tuple(dict.fromkeys(token.name for token in names)), names, COMPUTED)
        elif kind == "if_statement":
            yield from self._if(node)
        elif kind == "for_statement" or kind in grammar.doubled or kind in grammar.each:
            yield from self._loop(node)
        else:
            yield from sorted(node.children, key=lambda child: child.type not in grammar.first)

    def _use(self, leaf: Node) -> None:
        token = self._tokens[leaf.start_byte, leaf.end_byte]
        if leaf.type == token.name:
            return
        if token.name in self._defined:
            self._read(self._defined[token.name])
            self._add_edge(token, COMES, (token.name,))
            return
        self._add_edge(token, COMES, ())
        if leaf.type == "identifier":
            self._set(token.name, self._origins[token.position])

    def _assign(self, node: Node, to: str, by: str, relation: str) -> Visits:
        """Every name on one side comes from each different one on the other."""
        left, right = node.child_by_field_name(to), node.child_by_field_name(by)
        if left is None:  # broken code
            yield from node.children
            return
        if right is not None:
            yield right
        names, parents = self._variables(left), [] if right is None else self._variables(right)
        if right is not None and not parents:  # nothing flows, but the names have a new value
            for token in names:
                self._set(token.name, self._origins[token.position])
            return
        self._define(names, tuple(dict.fromkeys(token.name for token in parents)), parents, relation)

    def _unpack(self, node: Node) -> Visits:
        """An assignment of Python: part by part where both sides have as many."""
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        if node.type == "for_in_clause":
            lefts, rights = [] if left is None else [left], [node.children[-1]]
        else:
            lefts, rights = _parts(left, right)
        yield from rights
        for target, value in zip(lefts, rights, strict=False):
            parents = self._variables(value)
            self._define(self._variables(target), tuple(token.name for token in parents), parents, COMPUTED)

    def _if(self, node: Node) -> Visits:
        """Branches begin with what was defined before. Behind them a name has the definitions of each, and that from before
        where no branch must be taken.
        """
        children = node.children
        if self._grammar is PYTHON:
            apart = [child for child in children if child.type in {"elif_clause", "else_clause"}]
            flow = [child for child in children if child.type not in {"elif_clause", "else_clause"}]
            may_skip = not any("else" in child.type for child in children)
        else:  # where these grammars have a word `else` or an if as a child, it and what follows are branches
            first = next((at for at, child in enumerate(children) if child.type in {"if_statement", "else"}), len(children))
            flow, apart, may_skip = children[:first], children[first:], True
        branches = [(yield from self._branch(flow))]
        for child in apart:
            branches.append((yield from self._branch([child])))
        self._join(branches, may_skip)

    def _branch(self, children: Sequence[Node]) -> Generator[Node, None, Branch]:
        """What children define, which is then as it was before."""
        self._journals.append({})
        yield from children
        before = self._journals.pop()
        self._spend(len(before))
        changed = {name: self._defined[name] for name in before}
        for name, origin in before.items():
            if origin is None:
                del self._defined[name]
            else:
                self._defined[name] = origin
        return changed

    def _join(self, branches: Sequence[Branch], may_skip: bool) -> None:
        origins: dict[str, list[_Origin]] = {}
        for branch in branches:
            for name, origin in branch.items():
                origins.setdefault(name, []).append(origin)
        for name, ends in origins.items():
            if name in self._defined and (may_skip or len(ends) < len(branches)):
                ends.append(self._defined[name])
            self._spend(len(ends))
            self._set(name, ends[0] if len(ends) == 1 else _Origin(others=tuple(ends)))

    def _loop(self, node: Node) -> Visits:
        begin = len(self._edges)
        if node.type in self._grammar.doubled:
            yield from [*node.children, *node.children]
        elif node.type in self._grammar.each:
            for _ in range(2):
                yield from self._assign(node, "name", "value", COMPUTED)
                yield from node.children_by_field_name("body")
        elif self._grammar.counted is not None:
            children, declaration = node.children, self._grammar.counted[1]
            declared = next((at for at, child in enumerate(children) if child.type == declaration), len(children))
            yield from [*children, *children[declared + 1 :]]
        else:
            for _ in range(2):
                yield from self._unpack(node)
                yield from node.children[-1:] if node.children[-1].type == "block" else ()
        same: dict[tuple[str, int, str], list[_Edge]] = {}
        for edge in self._edges[begin:]:
            same.setdefault((edge.name, edge.position, edge.relation), []).append(edge)
        self._edges[begin:] = [edges[0]._replace(parents=self._joined(edges)) for edges in same.values()]

    def _joined(self, edges: Sequence[_Edge]) -> tuple[str, ...]:
        """The parents of one edge as they are, those of several without repetitions."""
        self._spend(sum(len(edge.parents) for edge in edges))
        return edges[0].parents if len(edges) == 1 else tuple(dict.fromkeys(name for edge in edges for name in edge.parents))

    def _define(self, names: Sequence[_Token], parents: tuple[str, ...], origins: Sequence[_Token], relation: str) -> None:
        for origin in origins:
            self._origins[origin.position].read = True
        for token in names:
            self._add_edge(token, relation, parents)
            self._set(token.name, self._origins[token.position])

    def _add_edge(self, token: _Token, relation: str, parents: tuple[str, ...]) -> None:
        self._edges.append(_Edge(token.position, token.name, relation, parents))
        if parents:
            self._origins[token.position].read = True

    def _set(self, name: str, origin: _Origin) -> None:
        if self._journals:
            self._journals[-1].setdefault(name, self._defined.get(name))
        self._defined[name] = origin

    def _read(self, origin: _Origin) -> None:
        waiting = [origin]
        while waiting:
            origin = waiting.pop()
            if not origin.read:
                origin.read = True
                waiting.extend(origin.others)

    def _variables(self, node: Node) -> list[_Token]:
        """The tokens below a node that are no keywords and no marks."""
        found = []
        for leaf in _leaves(node):
            self._spend(1)
            token = self._tokens[leaf.start_byte, leaf.end_byte]
            if leaf.type != token.name:
                found.append(token)
        return found


def _parts(left: Node | None, right: Node | None) -> tuple[list[Node], list[Node]]:
    """The parts of both sides of an assignment in Python, or the sides themselves where they have not as many."""
    if left is None or right is None:
        return [], []
    sides = ([] if _is_leaf(side) else side.children for side in (left, right))
    lefts, rights = ([child for child in children if child.type != ","] for children in sides)
    if len(lefts) != len(rights):
        return [left], [right]
    return lefts or [left], rights or [right]


def _is_leaf(node: Node) -> bool:
    return (node.child_count == 0 or node.type in WHOLE) and node.type != "comment"


def _leaves(node: Node) -> Iterator[Node]:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if _is_leaf(node):
            yield node
        else:
            waiting.extend(reversed(node.children))
