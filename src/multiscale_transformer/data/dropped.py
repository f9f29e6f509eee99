"""What was not read, and why, is counted always and listed when asked.

Every step of reading (listing, opening, filtering, comparing) adds what it drops to one `Dropped`, so that the counts in
`training.json` and the list of `axl data --left-out` are the same facts.
"""

from __future__ import annotations

from collections import Counter

from multiscale_transformer.data.names import shown

AXL = "written by AXL"
BEYOND_PART = "beyond its part"
DAMAGED_NOTEBOOK = "damaged notebook"
EXACT_COPY = "exact copy"
EXCLUDED = "excluded"
IGNORED = "ignored by git"
AXLIGNORED = "ignored by .axlignore"
LINK = "link"
NEAR_DUPLICATE = "near-duplicate"
NO_FILE = "not a file"
SKIPPED_FOLDER = "skipped folder"
UNKNOWN_SUFFIX = "unknown suffix"
UNREADABLE = "unreadable"
WORKTREE = "linked worktree"


class Dropped:
    """A count by reason, notes on what is unusual about the whole, and with `listed` each place with its reason.

    A folder that is not entered counts as one, whatever it holds. Places and details are carried names (`data.names`).
    """

    def __init__(self, *, listed: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.entries: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self._listed = listed

    def add(self, place: str, reason: str, detail: str = "") -> None:
        """Drop what is at `place`; `detail` goes on from the reason: the words "of" and what it is a copy of, say."""
        self.counts[reason] += 1
        if self._listed:
            self.entries.append((place, f"{reason} {detail}".rstrip()))

    def note(self, text: str) -> None:
        """Something to know about how the whole was read; said once."""
        if text not in self.notes:
            self.notes.append(text)

    def reasons(self) -> str:
        """The counts, the most frequent first: `3 binary, 1 empty`."""
        return ", ".join(f"{count:,} {reason}" for reason, count in self.counts.most_common())

    def lines(self) -> list[str]:
        """`place<TAB>reason` for each entry, safe to show, by place."""
        return [f"{shown(place)}\t{shown(reason)}" for place, reason in sorted(self.entries)]
