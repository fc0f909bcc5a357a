"""The standard streams of a command, where one was closed, is full, or has nobody who reads it any more."""

import os
import sys


def complete() -> None:
    """Put something in the place of streams that were closed when the command began: nothing to read, and nowhere to write.

    What is written to standard output then fails as it does on a full disk, since it was wanted; words for people do not.
    """
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY))
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def let_go() -> bool:
    """Whether standard output took all that was written. What it cannot take is dropped, or the interpreter would try again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True
