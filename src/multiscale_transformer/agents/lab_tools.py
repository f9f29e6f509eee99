"""The tools of the lab as schemas: what an agent on this machine can be asked for, and with which arguments.

What they do when they are called is no part of this file. Descriptions are written for the router too: it finds a tool by the
words in them.
"""

from __future__ import annotations

from typing import Any

from multiscale_transformer.agents.tool_schema import Schema, Tool

LANGUAGES = ("javascript",)


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "minLength": 1, "description": description, **more}


def _line(description: str) -> Schema:
    return {"type": "integer", "minimum": 1, "description": description}


def _tool(name: str, description: str, required: tuple[str, ...] = (), /, **properties: Schema) -> Tool:
    schema = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return Tool(name, description, schema)


_FUNCTION = _text(
    "The name of one function or class in the file, e.g. 'parse_args' or 'Parser.feed'; all where it is left out."
)

NONE = _tool(
    "none", "Do nothing: the request asks for something that no other tool can do, or for nothing at all; small talk, thanks."
)

LAB_TOOLS: tuple[Tool, ...] = (
    _tool(
        "read_file",
        "Read a file: show, open, print, display, get, load, view or look at the contents, the text, the source or some "
        "lines of a file, as cat does.",
        ("path",),
        path=_text("The path of the file, e.g. 'src/parser.py'."),
        first_line=_line("The first line to show."),
        last_line=_line("The last line to show."),
    ),
    _tool(
        "search_index",
        "Search the indexed code: find, locate, grep or look up where a name or a text is used, defined, called, imported "
        "or mentioned: usages, references, callers, occurrences and examples of it.",
        ("query",),
        query=_text("What to look for: a name or a piece of text, e.g. 'open_socket' or 'retry after timeout'."),
    ),
    _tool(
        "list_dir",
        "List a directory, as ls, dir and tree do: browse which files, modules and subfolders are in a folder, its "
        "structure and what it consists of.",
        (),
        path=_text("The path of the folder, e.g. 'src/net'; the project itself where it is left out."),
    ),
    _tool(
        "edit_lines",
        "Edit lines of a file: replace, change, set, correct, patch, overwrite or delete a line or a range of lines, so "
        "that it becomes, reads or says another text.",
        ("path", "first_line", "text"),
        path=_text("The path of the file, e.g. 'src/parser.py'."),
        first_line=_line("The first line that is replaced."),
        last_line=_line("The last line that is replaced; the first where it is left out."),
        text={"type": "string", "description": "The new text that stands there afterwards, e.g. 'return None'."},
    ),
    _tool(
        "run_tests",
        "Run tests: execute the unit tests or the whole test suite with pytest; check whether tests pass, succeed, are "
        "green or fail.",
        (),
        path=_text("The test file or folder, e.g. 'tests/test_parser.py'; all tests where it is left out."),
        name=_text("The name of one test to run, e.g. 'test_empty'."),
    ),
    _tool(
        "run_python",
        "Run Python: execute, try, compute or evaluate code, an expression or a snippet in the sandbox; the value, the "
        "output, what it prints.",
        ("code",),
        code=_text("The Python code, e.g. 'print(1 + 1)'."),
    ),
    _tool(
        "explain_error",
        "Explain an error: what an exception, a traceback, a crash or an error message means, its cause and reason, why "
        "code fails, dies or raises it, and what went wrong.",
        ("message",),
        message=_text("The error message or the name of the exception, e.g. \"KeyError: 'name'\"."),
    ),
    _tool(
        "refactor",
        "Refactor code: clean up, simplify, tidy, shorten, polish, streamline, modernise or restructure functions of a "
        "file; more readable, easier, nicer code that does the same.",
        ("path",),
        path=_text("The path of the file, e.g. 'src/parser.py'."),
        function=_FUNCTION,
    ),
    _tool(
        "translate",
        "Translate code: convert, port, transpile, migrate, turn or rewrite Python functions of a file into JavaScript, JS.",
        ("path", "language"),
        path=_text("The path of the file, e.g. 'src/parser.py'."),
        language={"type": "string", "enum": list(LANGUAGES), "description": "The programming language to translate into."},
        function=_FUNCTION,
    ),
    _tool(
        "document",
        "Document code: write, add, generate or fill in missing docstrings, docs and documentation for functions and "
        "classes of a file.",
        ("path",),
        path=_text("The path of the file, e.g. 'src/parser.py'."),
        function=_FUNCTION,
    ),
    _tool(
        "complete",
        "Complete code: continue, finish, extend, go on, carry on or autocomplete what is written at a line of a file; "
        "the rest of it, what comes next, what follows, what is missing.",
        ("path",),
        path=_text("The path of the file, e.g. 'src/parser.py'."),
        line=_line("The line at which the code is continued; its end where it is left out."),
    ),
    NONE,
)
