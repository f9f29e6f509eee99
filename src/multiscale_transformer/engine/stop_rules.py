"""Where a code completion ends although the model would go on: at the end of the line, the block, the gap, or of sense.

A small model that fills in the middle (FIM) or completes in an editor seldom knows when to stop, and what one keeps of a
completion is what ends at the right place. The rules look at whole lines. Within a line, or before other text, one statement is
written: a line, and the block that it opens. At the end of a file it goes on until a line is indented less than the cursor's
(llama.cpp's `n_indent`). It always ends before the first line of the suffix, a repeated line, a run of blanks, after the first
of three equal phrases in a row, and where the block is over that it opened; what the suffix already has is taken off. Where
nothing is left, `second_choice` says what to draw differently.

`StopState` reads the bytes as they come. What it lets out (`safe`) is never taken back, so a stream and a whole answer
are the same bytes, however they were cut up. Strings that a request names as its ends are `detokenizer`'s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from multiscale_transformer.model.vocabulary import BOS

MAX_BLANK_LINES = 2  # in a row, as PEP 8 has them between top-level definitions
MAX_SPACES = 64  # in a row, beyond which a line runs into blanks
MAX_CYCLE = 4  # lines: the longest run that is seen to repeat
PHRASES = range(2, 65)  # lengths of a phrase that is seen to repeat within a line: three times ...
MIN_PHRASES = 24  # ... and in so many bytes after the first, if there is a letter in it, ...
MIN_MARKS = 64  # ... or in so many: rows of numbers may repeat
MIN_REPEATED = 4  # characters that are no blanks, so that closing brackets may follow each other
_CONTINUES = re.compile(rb"[)\]}>]|(else|elif|except|finally|catch|end|rescue|when|case|default)\b")
_OPENS_BLOCK = re.compile(rb"([:{]|=>|\b(do|then|else|begin))$")
_BLANKS = tuple(b" \t\r\n")
_GOES_ON = re.compile(rb"([:{(\[,\\]|=>|\b(do|then|else|begin))$")


@dataclass(frozen=True)
class StopRules:
    """Which rules hold for one completion; the default is none, as for raw completion.

    `rest` is what follows the cursor on its line, without its newline, `suffix_line` the first line after it that is not blank;
    `cursor_line` what stands before the cursor on its line, None where indentation says nothing, and `line_before` the last
    line before it that is not blank. No line may be indented less than `min_indent` columns.
    """

    rest: bytes = b""
    suffix_line: bytes = b""
    cursor_line: bytes | None = None
    line_before: bytes = b""
    min_indent: int = 0
    repetition: bool = False

    @property
    def any(self) -> bool:
        """Whether there is anything to watch."""
        return self != NO_RULES

    @property
    def has_block(self) -> bool:
        """Whether the suffix already holds the block that the cursor's line may open."""
        return bool(self.suffix_line) and _columns(self.suffix_line) > _columns(self.cursor_line or b"")


NO_RULES = StopRules()


def rules_at(prefix: bytes, suffix: bytes, *, min_indent: int = 0) -> StopRules:
    """The rules for a cursor between `prefix` and `suffix`, as an editor wants them."""
    before, _, line = prefix.rpartition(b"\n")
    rest, _, following = suffix.partition(b"\n")
    return StopRules(
        rest=rest.rstrip(),
        suffix_line=next((line.rstrip() for line in following.split(b"\n") if line.strip()), b""),
        cursor_line=line,
        line_before=next((line.rstrip() for line in reversed(before.split(b"\n")) if line.strip()), b""),
        min_indent=min_indent,
        repetition=True,
    )


def rules_if(wanted: bool | None, rules: StopRules, prefix: bytes, suffix: bytes = b"") -> StopRules:
    """Those of a cursor, or none, as a request wants it; None leaves `rules` as they are."""
    if wanted is None or wanted == rules.any:
        return rules
    return rules_at(prefix, suffix) if wanted else NO_RULES


def second_choice(drawn: Sequence[int]) -> tuple[int, int] | None:
    """How to begin again where the rules left nothing of a completion: the place of an id in it, and the id not to draw there.

    It is the first one that is no blank. None where the model itself ended a text of blanks: it wants nothing.
    """
    place, first = next(((at, index) for at, index in enumerate(drawn) if index not in _BLANKS), (0, BOS))
    return (place, first) if first < BOS else None


def trimmed(text: bytes, rest: bytes, *, cursor_line: bytes = b"") -> bytes:
    """`text` without the end that `rest`, what follows the cursor on its line, already has.

    Closing brackets that close what `text` opened, or what `cursor_line` did and `rest` does not, belong to it: `bar()` before
    `)` stays whole, `x)` loses its last.
    """
    length = _begun(text, rest)
    while length and not text[-length:].strip(b")]}") and not _closes_too_much(text, rest, cursor_line):
        length = _begun(text, rest[: length - 1])
    return text[: len(text) - length]


def _closes_too_much(text: bytes, rest: bytes, cursor_line: bytes) -> bool:
    """Whether `text` closes brackets that are not its own, nor ones of `cursor_line` that `rest` leaves open."""
    return _brackets(text)[0] > max(0, _brackets(cursor_line)[1] - _brackets(rest)[0])


def _brackets(text: bytes) -> tuple[int, int]:
    """How many brackets a text closes without having opened them, and how many it leaves open."""
    closed = opened = 0
    for byte in text:
        if byte in b"([{":
            opened += 1
        elif byte in b")]}":
            closed, opened = (closed, opened - 1) if opened else (closed + 1, 0)
    return closed, opened


def _begun(text: bytes, rest: bytes) -> int:
    """How many of the last bytes of `text` are the first ones of `rest`, whose blanks may stand before the cursor already."""
    whole = next((n for n in range(min(len(rest), len(text)), 0, -1) if text.endswith(rest[:n])), 0)
    stripped = rest.lstrip(b" \t")
    if len(stripped) == len(rest):
        return whole
    lengths = (n for n in range(min(len(stripped), len(text)), whole, -1) if text.endswith(stripped[:n]))
    return next((n for n in lengths if not (_is_word(stripped[:1]) and _is_word(text[: len(text) - n][-1:]))), whole)


def _is_word(byte: bytes) -> bool:
    return byte.isalnum() or byte == b"_"


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
    _repeated: list[int] = field(default_factory=lambda: [0] * len(PHRASES))  # of the line, as far back as each phrase is long
    _opens: bool | None = None  # whether the cursor's line opens a block: the next one is indented more

    def __post_init__(self) -> None:
        if self.rules.line_before:
            self._lines.append(self.rules.line_before)

    def feed(self, new: bytes) -> int | None:
        """Read more bytes; returns `end`. Bytes after the end are not read."""
        for byte in new:
            if self.end is not None:
                break
            self.text.append(byte)
            self._read(byte)
        return self.end

    def finish(self) -> int:
        """No more bytes come; returns `end`."""
        if self.end is None:
            line = bytes(self.text[self._line_start :])
            if self.rules.any and line.strip():
                self._judge_line(line)
            if self.end is None:
                self._end_at(len(self.text))
        assert self.end is not None
        return self.end

    @property
    def safe(self) -> int:
        """How many bytes will stay, whatever comes."""
        if self.end is not None:
            return self.end
        if not self.rules.any:
            return len(self.text)
        if self._undecided():
            return self._before_line()
        text = bytes(self.text).rstrip()
        return min(len(text), len(self.text) - _begun(bytes(self.text), self.rules.rest), self._before_repetition())

    def _end_at(self, length: int) -> None:
        """End the completion, without blanks before a suffix in the next line, and without what the suffix already has."""
        if not self.rules.any:
            self.end = length
            return
        text = bytes(self.text[:length])
        stripped = text.rstrip()
        if not self.rules.rest or b"\n" in text[len(stripped) :]:
            text = stripped
        self.end = len(trimmed(text, self.rules.rest, cursor_line=self.rules.cursor_line or b""))

    def _before_line(self) -> int:
        """The length before the line that is being written, without the blanks before it."""
        return len(self.text[: self._line_start].rstrip())

    def _before_repetition(self) -> int:
        """The length before what repeats a phrase so far, without a character that is not whole there."""
        length = start = len(self.text) - max(self._repeated)
        while start and length - start < 3 and 0x80 <= self.text[start - 1] < 0xC0:
            start -= 1
        first = self.text[start - 1] if start else 0
        bytes_of_character = 1 + (first >= 0xC0) + (first >= 0xE0) + (first >= 0xF0)
        return start - 1 if length - start + 1 < bytes_of_character else length

    def _undecided(self) -> bool:
        """Whether the line that is being written may still be cut off as a whole."""
        line = bytes(self.text[self._line_start :])
        if not line.strip():
            return True
        if self._line_start and (self.rules.suffix_line.startswith(line.rstrip()) or self._after_block(line)):
            return True
        return self.rules.repetition and any(old.startswith(self._whole(line)) for old in self._repeatable())

    def _whole(self, line: bytes) -> bytes:
        """A line of the text with what stands before the cursor on it."""
        return line if self._line_start else (self.rules.cursor_line or b"") + line

    def _repeatable(self) -> list[bytes]:
        """Lines that, written now, would complete a run of lines that was just written."""
        lines, out = self._lines, []
        for cycle in range(1, MAX_CYCLE + 1):
            if len(lines) >= 2 * cycle - 1 and lines[len(lines) - cycle + 1 :] == lines[len(lines) - 2 * cycle + 1 : -cycle]:
                out.append(lines[-cycle])
        return [line for line in out if len(b"".join(line.split())) >= MIN_REPEATED]

    def _read(self, byte: int) -> None:
        if byte == 0x0A:
            self._finish_line()
            return
        line = bytes(self.text[self._line_start :])
        if self.rules.repetition and self._repeats_phrase(line):
            self.end = self._before_repetition()  # all of it may have been shown, so nothing is trimmed
        elif self.rules.repetition and line.endswith(b" " * MAX_SPACES):
            self._end_at(len(self.text.rstrip()) if line.strip() else self._before_line())
        elif self._line_start and line.strip() and not line[:-1].strip():
            self._judge_indentation(line)
        elif self.rules.rest and self._reaches_rest(line):
            self._end_at(len(self.text))

    def _repeats_phrase(self, line: bytes) -> bool:
        """Count for each length how many of the last bytes say what stands so far before them: is that a phrase three times?"""
        longest = min(len(line) - 1, PHRASES[-1])
        for at, period in enumerate(PHRASES):
            same = period <= longest and line[-1] == line[-1 - period]
            self._repeated[at] = self._repeated[at] + 1 if same else 0
        most = max(self._repeated)
        period = PHRASES[self._repeated.index(most)]
        letters = any(byte >= 0x80 or chr(byte).isalpha() for byte in line[-period:])
        return most >= max(2 * period, MIN_PHRASES if letters else MIN_MARKS)

    def _reaches_rest(self, line: bytes) -> bool:
        """Whether the text has arrived at what follows the cursor: it has written all of it, or closes what it did not open."""
        rest = self.rules.rest
        if _begun(line, rest) >= len(rest.lstrip()) and len(b"".join(rest.split())) >= MIN_REPEATED:
            return True
        closes = rest[:1] in (b")", b"]", b"}") and line.endswith(rest[:1])
        return closes and _closes_too_much(line, rest, self.rules.cursor_line or b"")

    def _judge_indentation(self, line: bytes) -> None:
        """At the first character of a line: is the block over?"""
        columns = _columns(line)
        if columns < self.rules.min_indent:
            self._end_at(self._before_line())
        if self.rules.cursor_line is None or self.end is not None:
            return
        indent = _columns(self.rules.cursor_line)
        if columns < indent:
            self._end_at(self._before_line())
        elif self._opens is None:
            self._opens = columns > indent

    def _after_block(self, line: bytes) -> bool:
        """Whether a line comes back to the indentation of the cursor's line, which opened a block."""
        return bool(self._opens) and _columns(line) == _columns(self.rules.cursor_line or b"")

    def _finish_line(self) -> None:
        rules, line = self.rules, bytes(self.text[self._line_start : -1])
        if rules.rest or (not self._line_start and self._is_statement(line)):
            self._judge_line(line)
            if self.end is None:
                self._end_at(len(self.text) - 1)
            return
        if not line.strip():
            self._blank_lines += bool(self._line_start)
            if rules.repetition and self._blank_lines > MAX_BLANK_LINES:
                self._end_at(self._before_line())
        else:
            self._judge_line(line)
            self._blank_lines = 0
            self._lines = [*self._lines[-2 * MAX_CYCLE :], self._whole(line).rstrip()]
        self._line_start, self._repeated = len(self.text), [0] * len(PHRASES)

    def _is_statement(self, line: bytes) -> bool:
        """Whether a whole statement is written where one is wanted: it opens nothing, or what the suffix already holds."""
        if not (self.rules.cursor_line or b"").strip() and not self.rules.suffix_line:
            return False
        goes_on = _OPENS_BLOCK if self.rules.suffix_line else _GOES_ON
        return self.rules.has_block or not goes_on.search(self._whole(line).rstrip())

    def _judge_line(self, line: bytes) -> None:
        """At the end of a line that is not blank: is it the suffix's, a repetition, or beyond the block?"""
        rules = self.rules
        repeated = rules.repetition and self._whole(line).rstrip() in self._repeatable()
        again = self._line_start and rules.suffix_line and line.rstrip() == rules.suffix_line
        after = self._line_start and self._after_block(line) and not _CONTINUES.match(line.lstrip())
        if repeated or again or after:
            self._end_at(self._before_line())


def _columns(line: bytes) -> int:
    """The indentation of a line: a tab goes to the next multiple of 8."""
    return len(line[: len(line) - len(line.lstrip())].expandtabs(8))
