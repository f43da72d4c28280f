"""What exporters print, log and warn of, kept from the caller: it concerns their own insides."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import Iterator


@contextlib.contextmanager
def silenced(*loggers: str) -> Iterator[None]:
    """Keep the named loggers, warnings and the two streams of `sys` silent."""
    quieted = [logging.getLogger(name) for name in loggers]
    levels = [logger.level for logger in quieted]
    with warnings.catch_warnings(), contextlib.ExitStack() as streams:
        streams.enter_context(contextlib.redirect_stdout(io.StringIO()))
        streams.enter_context(contextlib.redirect_stderr(io.StringIO()))
        warnings.simplefilter("ignore")
        try:
            for logger in quieted:
                logger.setLevel(logging.CRITICAL + 1)
            yield
        finally:
            for logger, level in zip(quieted, levels):
                logger.setLevel(level)
