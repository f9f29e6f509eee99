"""Compiled loops over NumPy arrays: products, attention, memory search, and how they are compiled and kept."""

import os

# Where colorama is installed, Numba starts it for the colours of its error messages, and it ends every process with an escape.
os.environ.setdefault("NUMBA_DISABLE_ERROR_MESSAGE_HIGHLIGHTING", "1")
