"""Where words end: the rule by which a model with a word stack makes its rows, and the numbers of that stack.

A row is made at a byte that is known to end something: one that is no part of a word behind one that is, a newline, a mark of
fill-in-the-middle, BOS or EOS. So two known bytes decide, the row is stamped with the later one, and the rule of time holds as
it stands. `KINDS` is the rule as a table over ids, for PyTorch and for the kernels.
"""

from __future__ import annotations

from multiscale_transformer.model.vocabulary import FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, VOCAB_SIZE

OTHER, IN_WORD, ALWAYS = 0, 1, 2  # kinds of ids: ends a word, is a part of one, ends whatever comes before

LAYERS_BEFORE = 1  # fine layers below the word stack: one is enough to spell a word, and what is above reads what the words say
MOST_SINCE = 31  # bytes since the newest row, of which more are not told apart
BYTES_PER_ROW = 7.7  # mean on the training files of the standard library (7.66): blanks of an indentation end no word


def _kind(token: int) -> int:
    if token >= 256 or token in (ord("\n"), FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE):
        return ALWAYS
    return IN_WORD if token >= 128 or chr(token).isalnum() or token == ord("_") else OTHER


KINDS = bytes(map(_kind, range(VOCAB_SIZE)))  # of each id; a row is made at ALWAYS, and at OTHER directly behind IN_WORD
