"""The lines that the command line prints."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Print a line on the standard output at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def fail(message: str, status: int) -> int:
    """Print an error as one line on the standard error, and return the exit status."""
    sys.stderr.write(f"cnnviz: {' '.join(message.split())}\n")
    return status
