"""Where a code completion ends although the model would go on: at the end of the line, the block, the gap, or of sense.

A small model that fills in the middle (FIM) or completes in an editor seldom knows when to stop, and what one keeps of a
completion is what ends at the right place. The rules look at whole lines: text follows the cursor on its line, so one line is
wanted; a line is indented less than the cursor's (llama.cpp's `n_indent`), or the block that was opened is over; the first line
of the suffix is being written again; lines repeat; blanks follow blanks. `trimmed` takes off what the suffix already has.

`StopState` reads the bytes as they come. What it lets out (`safe`) is never taken back, so a stream and a whole answer
are the same bytes, however they were cut up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MAX_BLANK_LINES = 2  # in a row, as PEP 8 has them between top-level definitions
MAX_SPACES = 64  # in a row, beyond which a line runs into blanks
MAX_CYCLE = 4  # lines: the longest run that is seen to repeat
MIN_REPEATED = 4  # characters that are no blanks, so that closing brackets may follow each other
_CONTINUES = re.compile(rb"[)\]}>]|(else|elif|except|finally|catch|end|rescue|when|case|default)\b")
_OPENERS = {b")": b"(", b"]": b"[", b"}": b"{"}


@dataclass(frozen=True)
class StopRules:
    """Which rules hold for one completion; the default is none, as for raw completion.

    `cursor_line` is what stands before the cursor on its line, None where indentation says nothing; `suffix_line` the first
    line of the suffix that is not blank, with its indentation.
    """

    one_line: bool = False
    cursor_line: bytes | None = None
    suffix_line: bytes = b""
    repetition: bool = False

    @property
    def any(self) -> bool:
        """Whether there is anything to watch."""
        return self.one_line or self.cursor_line is not None or bool(self.suffix_line) or self.repetition


def rules_at(prefix: bytes, suffix: bytes) -> StopRules:
    """The rules for a cursor between `prefix` and `suffix`, as an editor wants them."""
    line = prefix[prefix.rfind(b"\n") + 1 :]
    rest, _, following = suffix.partition(b"\n")
    next_line = next((line.rstrip() for line in following.split(b"\n") if line.strip()), b"")
    return StopRules(one_line=bool(rest.strip()), cursor_line=line, suffix_line=next_line, repetition=True)


def trimmed(text: bytes, suffix: bytes) -> bytes:
    """`text` without the end that the rest of the cursor's line in `suffix` already has.

    Closing brackets that the text itself opened belong to it: `bar()` before `)` stays whole, `x)` loses its last.
    """
    rest = suffix.partition(b"\n")[0].rstrip()
    for length in range(min(len(rest), len(text)), 0, -1):
        if text.endswith(rest[:length]) and not _closes_own(text, length):
            return text[:-length]
    return text


def _closes_own(text: bytes, length: int) -> bool:
    """Whether the last `length` bytes are only brackets, the first of which closes one that the text opened."""
    end = text[-length:]
    if end.strip(b")]}"):
        return False
    open_brackets: list[bytes] = []
    for byte in (text[i : i + 1] for i in range(len(text))):
        if byte in _OPENERS.values():
            open_brackets.append(byte)
        elif byte in _OPENERS and (not open_brackets or open_brackets.pop() != _OPENERS[byte]):
            return False
    return True


@dataclass
class StopState:
    """What one completion has written so far, and where it ends.

    `safe` bytes of it may be shown; `end` is None until a rule has spoken, then the length at which the completion ends.
    """

    rules: StopRules
    text: bytearray = field(default_factory=bytearray)
    end: int | None = None
    _line_start: int = 0  # of the line that is being written; the first continues the cursor's
    _lines: list[bytes] = field(default_factory=list)  # those that are finished, without blank ones
    _blank_lines: int = 0
    _opens: bool | None = None  # whether the cursor's line opens a block: the next one is indented more

    def feed(self, new: bytes) -> int | None:
        """Read more bytes; returns `end`. Bytes after the end are not read."""
        for byte in new:
            if self.end is not None:
                break
            self.text.append(byte)
            self._read(byte)
        return self.end

    @property
    def safe(self) -> int:
        """How many bytes will stay, whatever comes."""
        if self.end is not None:
            return self.end
        if not self.rules.any:
            return len(self.text)
        if self._undecided():
            return self._kept()
        return len(self.text.rstrip())

    def _kept(self) -> int:
        """The length before the line that is being written, without the blanks before it."""
        return len(self.text[: self._line_start].rstrip()) if self._line_start else 0

    def _undecided(self) -> bool:
        """Whether the line that is being written may still be cut off as a whole."""
        line = bytes(self.text[self._line_start :])
        if not line.strip():
            return True
        if self._line_start and (self.rules.suffix_line.startswith(line.rstrip()) or self._after_block(line)):
            return True
        return self.rules.repetition and self._line_start > 0 and any(old.startswith(line) for old in self._repeatable())

    def _repeatable(self) -> list[bytes]:
        """Lines that, written now, would complete a run of lines that was just written."""
        lines, out = self._lines, []
        for cycle in range(1, MAX_CYCLE + 1):
            if len(lines) >= 2 * cycle - 1 and lines[len(lines) - cycle + 1 :] == lines[len(lines) - 2 * cycle + 1 : -cycle]:
                out.append(lines[-cycle])
        return [line for line in out if len(line.split()) and len(b"".join(line.split())) >= MIN_REPEATED]

    def _read(self, byte: int) -> None:
        if byte == 0x0A:
            self._finish_line()
            return
        line = bytes(self.text[self._line_start :])
        if self.rules.repetition and line.endswith(b" " * MAX_SPACES):
            self.end = len(self.text.rstrip()) if line.strip() else self._kept()
        elif self._line_start and line.strip() and not line[:-1].strip():
            self._judge_indentation(line)

    def _judge_indentation(self, line: bytes) -> None:
        """At the first character of a line: is the block over?"""
        if self.rules.cursor_line is None:
            return
        columns, indent = _columns(line), _columns(self.rules.cursor_line)
        if columns < indent:
            self.end = self._kept()
        elif self._opens is None:
            self._opens = columns > indent

    def _after_block(self, line: bytes) -> bool:
        """Whether a line comes back to the indentation of the cursor's line, which opened a block."""
        return bool(self._opens) and _columns(line) == _columns(self.rules.cursor_line or b"")

    def _finish_line(self) -> None:
        rules, line = self.rules, bytes(self.text[self._line_start : -1])
        if rules.one_line:
            self.end = len(self.text[:-1].rstrip())
            return
        if not line.strip():
            self._blank_lines += bool(self._line_start)
            if rules.repetition and self._blank_lines > MAX_BLANK_LINES:
                self.end = self._kept()
        else:
            self._judge_line(line)
            self._blank_lines = 0
            whole = line if self._line_start else (rules.cursor_line or b"") + line
            self._lines = [*self._lines[-2 * MAX_CYCLE :], whole]
        self._line_start = len(self.text)

    def _judge_line(self, line: bytes) -> None:
        """At the end of a line that is not blank: is it the suffix's, a repetition, or beyond the block?"""
        rules = self.rules
        if not self._line_start:
            return
        again = rules.suffix_line and line.rstrip() == rules.suffix_line
        repeated = rules.repetition and line in self._repeatable()
        after = self._after_block(line) and not _CONTINUES.match(line.lstrip())
        if again or repeated or after:
            self.end = self._kept()


def _columns(line: bytes) -> int:
    """The indentation of a line: a tab goes to the next multiple of 8."""
    return len(line[: len(line) - len(line.lstrip())].expandtabs(8))
