"""Options that have a new name: the old one goes on working, hidden from --help, and says the new one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from copy import copy
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.models import OptionInfo

from multiscale_transformer.cli.ui import note
from multiscale_transformer.errors import AxlError

Command = Callable[..., None]


def renamed(**old_names: str) -> Callable[[Command], Command]:
    """Decorate a command: each keyword is the old name of an option, its value the parameter that has taken its place.

    `@renamed(queued="max_queue")` takes `--queued` as `--max-queue`. Both together are refused.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        aliases = [_hidden(old, signature.parameters[new]) for old, new in old_names.items()]
        given = inspect.Parameter("typer_context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)

        @functools.wraps(command)
        def wrapper(typer_context: typer.Context, **values: Any) -> None:
            for old, new in old_names.items():
                value = values.pop(old)
                if value is None:
                    continue
                source = typer_context.get_parameter_source(new)
                if source is not None and source.name == "COMMANDLINE":
                    raise AxlError(f"{_flag(old)} is the old name of {_flag(new)}; give {_flag(new)} only")
                note(f"{_flag(old)} is called {_flag(new)} now")
                values[new] = value
            command(**values)

        parameters = [given, *signature.parameters.values(), *aliases]
        wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del wrapper.__wrapped__
        return wrapper

    return decorate


def _hidden(old: str, parameter: inspect.Parameter) -> inspect.Parameter:
    """The same option under its old name: not shown, and None where it is not given."""
    if get_origin(parameter.annotation) is not Annotated:
        raise TypeError(f"{parameter.name} is no option")
    kind, *metadata = get_args(parameter.annotation)
    option = copy(next(item for item in metadata if isinstance(item, OptionInfo)))
    option.default, option.param_decls, option.hidden = ..., (_flag(old),), True
    return parameter.replace(name=old, default=None, annotation=Annotated[kind | None, option])


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
