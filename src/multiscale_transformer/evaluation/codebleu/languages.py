"""What CodeBLEU knows of a language: its grammar, its keywords, and which nodes of the grammar move data.

The sets of keywords and of nodes are those that published figures were taken with (the package codebleu 0.7.0, which goes
back to CodeXGLUE). They are not what one would choose today: `x = y` moves no data in JavaScript, and `true` is none of its
keywords.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from multiscale_transformer.errors import AxlError, unknown_name

if TYPE_CHECKING:
    from tree_sitter import Language


@dataclass(frozen=True)
class Grammar:
    """A language as CodeBLEU sees it; sets hold types of nodes.

    `definitions` have the fields name and value, `assignments` left and right. `doubled` are loops all of whose children run
    twice, `each` those that take a value from a collection (fields name, value and body), and `counted` is the loop whose head
    declares, with the type of that declaration: what follows it runs twice. `first` is visited before its siblings.
    With `docstrings` a string that is a statement is a comment.
    """

    name: str
    module: str
    suffixes: tuple[str, ...]
    keywords: frozenset[str]
    definitions: frozenset[str]
    assignments: frozenset[str]
    increments: frozenset[str] = frozenset()
    doubled: frozenset[str] = frozenset({"while_statement"})
    each: frozenset[str] = frozenset()
    counted: tuple[str, str] | None = None
    first: frozenset[str] = frozenset()
    docstrings: bool = False

    def load(self) -> Language:
        """The grammar for tree-sitter. Raises AxlError where a package is missing."""
        try:
            from tree_sitter import Language

            return Language(import_module(self.module).language())
        except ImportError:
            packages = f"tree-sitter and {self.module.replace('_', '-')}"
            raise AxlError(f"CodeBLEU of {self.name} needs {packages}: pip install 'axl[bench]'") from None


_PYTHON_WORDS = (
    "False None True and as assert async await break case class continue def del elif else except finally for from "
    "global if import in is lambda match nonlocal not or pass raise return try type while with yield"
)
_JAVA_WORDS = (
    "abstract assert boolean break byte case catch char class const continue default do double else enum extends "
    "final finally float for goto if implements import instanceof int interface long native new package private "
    "protected public return short static strictfp super switch synchronized this throw throws transient try void "
    "volatile while"
)
_JAVASCRIPT_WORDS = (
    "True await break case catch class const continue debugger default delete do else enum export extends false "
    "finally for function if implements import in instanceof interface let new null package private protected public "
    "return static super switch this throw try typeof var void while with yield"
)
PYTHON = Grammar(
    name="python",
    module="tree_sitter_python",
    suffixes=(".py", ".pyi"),
    keywords=frozenset(_PYTHON_WORDS.split()),
    definitions=frozenset({"default_parameter"}),
    assignments=frozenset({"assignment", "augmented_assignment", "for_in_clause"}),
    first=frozenset({"for_in_clause"}),
    docstrings=True,
)
JAVA = Grammar(
    name="java",
    module="tree_sitter_java",
    suffixes=(".java",),
    keywords=frozenset(_JAVA_WORDS.split()),
    definitions=frozenset({"variable_declarator"}),
    assignments=frozenset({"assignment_expression"}),
    increments=frozenset({"update_expression"}),
    each=frozenset({"enhanced_for_statement"}),
    counted=("for_statement", "local_variable_declaration"),
)
JAVASCRIPT = Grammar(
    name="javascript",
    module="tree_sitter_javascript",
    suffixes=(".js", ".mjs", ".cjs", ".jsx"),
    keywords=frozenset(_JAVASCRIPT_WORDS.split()),
    definitions=frozenset({"variable_declarator"}),
    assignments=frozenset({"assignment_pattern", "augmented_assignment_expression"}),
    increments=frozenset({"update_expression"}),
    counted=("for_statement", "variable_declaration"),
)
GRAMMARS = {grammar.name: grammar for grammar in (PYTHON, JAVASCRIPT, JAVA)}


def grammar_of(language: str) -> Grammar:
    """The grammar of a language by name. Raises AxlError for a language that is not known."""
    if language not in GRAMMARS:
        raise unknown_name("language", language, GRAMMARS)
    return GRAMMARS[language]
