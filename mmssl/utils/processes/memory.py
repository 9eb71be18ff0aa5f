"""What the C library does with memory that PyTorch gives back on a CPU."""

import ctypes
import os

TRIM, MMAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
KEPT = 1 << 30
"""Bytes; blocks of less are taken from memory that was freed before."""
OWN = 1 << 25
"""What glibc's own threshold grows to while a program runs, on 64 bits."""
CHOSEN = ('MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_', 'GLIBC_TUNABLES')


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory for the next tensor, where it is glibc.

    By itself it returns every block above 32 MiB to the system when it is freed, and the next
    activation of that size takes new pages, which the system first fills with zeros: up to two
    fifths of a forward pass on a CPU. Results do not change, nor does the largest use by much.
    Variables of the environment that say what malloc is to do decide.

    Returns:
        Whether it was done.
    """
    return not any(name in os.environ for name in CHOSEN) and _set(KEPT, KEPT)


def return_freed_memory() -> bool:
    """Undo `keep_freed_memory`, to measure what it gains; return whether it was done."""
    return _set(OWN, 2 * OWN)


def _set(mmap: int, trim: int) -> bool:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another system or C library
        return False
    return bool(mallopt(MMAP, mmap) and mallopt(TRIM, trim))
