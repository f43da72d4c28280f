"""Memory of this process: what it holds, and the most that it has held."""

from __future__ import annotations

import ctypes
import gc
import resource
from pathlib import Path


def trimmed() -> int:
    """Resident bytes, after unused memory has gone back to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return status("VmRSS")


def peak_reset() -> None:
    """Forget the peak so far; otherwise it is that of the whole life of a process."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak() -> int:
    """The most resident bytes since `peak_reset`."""
    return status("VmHWM")


def status(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
