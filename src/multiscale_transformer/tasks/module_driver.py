"""Running something on a module in the sandbox: the module is loaded under its name, and what is found comes back as JSON.

A driver is the Python text of what is to be done. It finds `request`, `module` (loaded from `module_under_test.py`, so that its
neighbours can be imported), the exception `Late` that an alarm raises, and leaves what it found in `report`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from multiscale_transformer.errors import AxlError
from multiscale_transformer.sandbox.limits import Limits, Program
from multiscale_transformer.sandbox.run import Sandbox

MODULE, DRIVER, REQUEST, REPORT = "module_under_test.py", "driver.py", "request.json", "report.json"

_LOAD = f"""
import ast, importlib, importlib.util, json, signal, sys

class Late(BaseException):
    pass

def late(number, frame):
    raise Late

request = json.load(open("{REQUEST}"))
signal.signal(signal.SIGALRM, late)
sys.dont_write_bytecode = True
sys.path[:0] = request["roots"]
if "." in request["module"]:
    importlib.import_module(request["module"].rpartition(".")[0])
spec = importlib.util.spec_from_file_location(request["module"], "{MODULE}")
module = importlib.util.module_from_spec(spec)
sys.modules[request["module"]] = module
spec.loader.exec_module(module)
report = []
"""
_SAVE = f"""
json.dump(report, open("{REPORT}", "w"))
"""


@dataclass(frozen=True)
class Module:
    """A module that functions are called in: its text, its dotted name, and the folder that its packages lie in.

    The text runs under that name, so that it can import its neighbours, which are read from `root` as they are.
    """

    text: str
    name: str = "module_under_test"
    root: Path | None = None

    def changed(self, text: str) -> Module:
        """The same module with another text."""
        return replace(self, text=text)


def module_at(path: Path) -> Module:
    """The module in a file, in the packages whose folders hold an `__init__.py`. Raises AxlError where it is no text."""
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise AxlError(f"{path} cannot be read as Python ({error})") from None
    path = path.resolve()
    parts, root = [path.stem], path.parent
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    return Module(text, ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts), root)


def drive(sandbox: Sandbox, module: Module, driver: str, request: dict[str, Any], limits: Limits) -> Any:
    """What the driver leaves in `report`; None where the module does not load, the program is stopped or it reports nothing.

    The report comes from a program that nobody trusts: whoever reads it checks its form.
    """
    roots = [] if module.root is None else [str(module.root)]
    asked = {"module": module.name, "roots": roots, **request}
    files = {MODULE: module.text, DRIVER: _LOAD + driver + _SAVE, REQUEST: json.dumps(asked)}
    program = Program(files=files, python=DRIVER, results=(REPORT,), readable=tuple(roots))
    try:
        return json.loads(sandbox.run(program, limits=limits).files[REPORT])
    except (KeyError, ValueError):
        return None
