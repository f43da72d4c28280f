"""The command line: one command for each technique, one line for each error."""

from __future__ import annotations

import os
import sys
from typing import Optional, Sequence

from cnnviz.cli.output import fail
from cnnviz.cli.parser import make_parser

_ERRORS = (ValueError, TypeError, OSError, MemoryError)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command line and return its exit status: 0, 2 for an error, 130 when interrupted."""
    arguments = make_parser().parse_args(argv)
    from cnnviz.errors import CnnvizError

    try:
        arguments.handler(arguments)
    except KeyboardInterrupt:
        return fail("interrupted", 130)
    except BrokenPipeError:
        # The reader of the pipe, `head` for example, has closed it: buffered output is discarded.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (CnnvizError, *_ERRORS) as error:
        return fail(str(error) or type(error).__name__, 2)
    return 0
