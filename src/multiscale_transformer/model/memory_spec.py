"""What the memories tell apart: the context orders that are looked up, and the bins that counts and match lengths fall into.

An order is a number of bytes of context in one memory: "after the same 8 bytes, in the corpus". These numbers are the contract
between `memory/`, which counts, and `model.memory_fusion`, which learns what the counts are worth; a checkpoint is trained for
one set of them.
"""

from __future__ import annotations

CORPUS_ORDERS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)  # bytes of context, in the corpus
CONTEXT_ORDERS = (3, 4, 5, 6, 8, 12, 16, 24, 32)  # and in the open document
# Kinds of places where a word may begin (`kernels.structure_keys`): what stands before it, as a person would name it.
STRUCTURES = ("the word before", "the word before the last", "the line's first word", "the line above", "the line", "the call")
NUM_STRUCTURES = len(STRUCTURES)
CORPUS_STRUCTURES = (2, 3, 4, 5)  # those that are looked up in the corpus, too; the words before are covered by its bytes
NUM_CORPUS_STRUCTURES = len(CORPUS_STRUCTURES)
# Structure in the document, then in the corpus, follows the lengths; the last is the newest longest match in the document.
NUM_ORDERS = len(CORPUS_ORDERS) + len(CONTEXT_ORDERS) + NUM_STRUCTURES + NUM_CORPUS_STRUCTURES + 1
COUNT_BINS = 64  # of an order: eight steps of "it came next" times eight of "something else did"
CANDIDATE_COUNT = 8
NO_CANDIDATE = -1
LENGTH_STEPS = (0, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32)  # of match lengths: the first length of each step
NUM_CORPUS_LENGTHS = len(CORPUS_ORDERS) + 1  # a match in the corpus is as long as the longest order that has one
NUM_CONTEXT_LENGTHS = len(LENGTH_STEPS)

SEPARATOR = 0  # stands before every indexed document and after the last; the data filters keep it out of documents
NOTHING = 0xFF  # no byte of UTF-8: the row of the whole text, which nothing follows, and rows of removed documents

VALUES = 2  # learned values of a count bin
HIDDEN = 32  # width of the network that sees all values of a candidate together
