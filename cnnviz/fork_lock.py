"""A lock that does not outlive its holder in a forked child."""

from __future__ import annotations

import os
import threading
import weakref

__all__ = ["ForkLock"]


class ForkLock:
    """A lock for `with` that is open in a forked child, where only the thread that forked goes on.

    The guarded data must be consistent after every single step, or be made anew.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _alive.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Replace the lock, whose holder does not exist in this process."""
        self._lock = threading.Lock()


_alive: weakref.WeakSet[ForkLock] = weakref.WeakSet()


def _renew_all() -> None:
    for lock in _alive:
        lock.renew()


os.register_at_fork(after_in_child=_renew_all)
