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


_FUNCTION = _text("The name of one function or class in the file, e.g. 'parse_args' or 'Parser.feed'; all where it is left out.")

NONE = _tool("none", "Do nothing: the request asks for something that no other tool can do, or for nothing at all; small talk, thanks.")

LAB_TOOLS: tuple[Tool, ...] = (
    _tool(
        "read_file",
        "Read a file: show, open, print or view the contents, the source or some lines of a file.",
        ("path",),
        path=_text("The path of the file, e.g. 'src/parser.py'."),
        first_line=_line("The first line to show."),
        last_line=_line("The last line to show."),
    ),
    _tool(
        "search_index",
        "Search the indexed code: find, locate or grep where a name, a text or an example is used, defined, called or mentioned.",
        ("query",),
        query=_text("What to look for: a name or a piece of text, e.g. 'open_socket' or 'retry after timeout'."),
    ),
    _tool(
        "list_dir",
        "List a directory: the files, modules and subfolders that are in a folder.",
        (),
        path=_text("The path of the folder, e.g. 'src/net'; the project itself where it is left out."),
    ),
    _tool(
        "edit_lines",
        "Edit lines of a file: replace, change, overwrite or delete a line or a range of lines with new text.",
        ("path", "first_line", "text"),
        path=_text("The path of the file, e.g. 'src/parser.py'."),
        first_line=_line("The first line that is replaced."),
        last_line=_line("The last line that is replaced; the first where it is left out."),
        text={"type": "string", "description": "The new text that stands there afterwards, e.g. 'return None'."},
    ),
    _tool(
        "run_tests",
        "Run tests: execute the test suite with pytest and report which tests pass or fail.",
        (),
        path=_text("The test file or folder, e.g. 'tests/test_parser.py'; all tests where it is left out."),
        name=_text("The name of one test to run, e.g. 'test_empty'."),
    ),
    _tool(
        "run_python",
        "Run Python: execute or evaluate code, an expression, a snippet or a script in the sandbox and show what it prints.",
        ("code",),
        code=_text("The Python code, e.g. 'print(1 + 1)'."),
    ),
    _tool(
        "explain_error",
        "Explain an error: what an exception, a traceback, a crash or an error message means, why it is raised, and what is wrong.",
        ("message",),
        message=_text("The error message or the name of the exception, e.g. \"KeyError: 'name'\"."),
    ),
    _tool(
        "refactor",
        "Refactor code: clean up, simplify, tidy or restructure functions of a file so that they do the same.",
        ("path",),
        path=_text("The path of the file, e.g. 'src/parser.py'."),
        function=_FUNCTION,
    ),
    _tool(
        "translate",
        "Translate code: convert, port or rewrite Python functions of a file into JavaScript.",
        ("path", "language"),
        path=_text("The path of the file, e.g. 'src/parser.py'."),
        language={"type": "string", "enum": list(LANGUAGES), "description": "The programming language to translate into."},
        function=_FUNCTION,
    ),
    _tool(
        "document",
        "Document code: write, add or generate docstrings and documentation for functions and classes of a file.",
        ("path",),
        path=_text("The path of the file, e.g. 'src/parser.py'."),
        function=_FUNCTION,
    ),
    _tool(
        "complete",
        "Complete code: continue, finish or autocomplete what is written at a line of a file, or fill in what is missing.",
        ("path",),
        path=_text("The path of the file, e.g. 'src/parser.py'."),
        line=_line("The line at which the code is continued; its end where it is left out."),
    ),
    NONE,
)
