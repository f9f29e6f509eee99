"""Watching edits while the tests of a project run: for each test the lines that ran by file, and what edits would have changed.

A plugin of pytest traces the calls of the tests and nothing of pytest itself, so it costs little more than a plain run. What
it reports comes from a program that nobody trusts, so its form is checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice

from pydantic import BaseModel, ConfigDict, ValidationError

from multiscale_transformer.tasks.restoring import all_edits
from multiscale_transformer.tasks.source_text import Edit, SourceText
from multiscale_transformer.tasks.test_runs import Plugin
from multiscale_transformer.tasks.watching import MAX_WATCHES, WATCHER, Watch, Watched, watches_for

_RESULT = "axl-watched.json"
_CODE = (
    """
import json, os, re, sys
import pytest
"""
    + WATCHER
    + """
root = os.getcwd() + os.sep
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "axl_plugin.json")) as file:
    request = json.load(file)
files, report = {root + name for name in request["files"]}, {}
expect_watches([(root + name, *row) for name, row in request["watches"]])
ran, compared = {}, re.compile(r"assert (.+?) == (.+)")

def local(frame, event, argument):
    if event == "line":
        ran[frame.f_code.co_filename].add(frame.f_lineno)
        watch(frame)
    return local

def tracer(frame, event, argument):
    name = frame.f_code.co_filename
    if name not in files or frame.f_code.co_name == "<module>":
        return None
    ran.setdefault(name, set())
    return local

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    ran.clear()
    forget_watched()
    sys.settrace(tracer)
    outcome = yield
    sys.settrace(None)
    said = compared.search(str(outcome.excinfo[1])) if outcome.excinfo else None
    lines = {os.path.relpath(name, root): sorted(found) for name, found in ran.items()}
    report[item.nodeid] = {"lines": lines, "watched": watched_now(said[2].strip() if said else None)}

def pytest_unconfigure(config):
    with open(root + "RESULT", "w") as file:
        json.dump(report, file)
""".replace("RESULT", _RESULT)
)


class WatchedTest(BaseModel):
    """The lines that a test ran, by file, and what it showed of the edits that were watched, by their numbers."""

    model_config = ConfigDict(extra="forbid")

    lines: dict[str, tuple[int, ...]] = {}
    watched: dict[int, Watched] = {}


def edits_to_watch(texts: Mapping[str, str], lines: Mapping[str, Iterable[int]]) -> dict[tuple[str, Edit], Watch]:
    """Edits on lines that ran, by file, with what is to be watched for each; at most MAX_WATCHES."""
    found: dict[tuple[str, Edit], Watch] = {}
    for name, text in texts.items():
        if len(found) == MAX_WATCHES:
            break
        source = SourceText(text)
        watches = watches_for(source, all_edits(source, lines.get(name, ())))
        found |= {(name, edit): watch for edit, watch in islice(watches.items(), MAX_WATCHES - len(found))}
    return found


def plugin_for(files: Iterable[str], watches: Mapping[tuple[str, Edit], Watch]) -> Plugin:
    """The plugin that watches in these files."""
    rows = [(name, watch.row) for (name, _), watch in watches.items()]
    return Plugin(_CODE, json.dumps({"files": list(files), "watches": rows}), _RESULT)


def read_report(text: str) -> dict[str, WatchedTest]:
    """What the plugin has written, by test; nothing where that has another form."""
    try:
        return {str(name): WatchedTest.model_validate(test) for name, test in json.loads(text).items()}
    except (ValueError, ValidationError, AttributeError):
        return {}
