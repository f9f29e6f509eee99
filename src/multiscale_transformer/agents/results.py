"""What a tool returns."""

from __future__ import annotations

from dataclasses import dataclass

from multiscale_transformer.agents.journal import Change


@dataclass(frozen=True)
class ToolResult:
    """A short text; with `changes`, what the tool would change in the project, and what verified it. Nothing is written yet."""

    text: str
    changes: tuple[Change, ...] = ()
    verified: str = ""
    ok: bool = True

    @property
    def diff(self) -> str:
        """All changes as `diff -u` writes them; empty where there is none."""
        return "".join(change.diff for change in self.changes)


def failed(why: str) -> ToolResult:
    """A tool that could do nothing, and why."""
    return ToolResult(why, ok=False)
