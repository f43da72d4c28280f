"""Process-wide configuration: the BLAS, the kernels and the number of threads.

Importing this module loads the core and lets it choose a BLAS, so modules that compute import `_core` from
here.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any, Dict

import numpy as np

from cnnviz._version import __version__

try:
    from cnnviz import _core as _core
except ImportError as error:
    if list(Path(__file__).parent.glob("_core*.so")):
        raise  # built, and does not load: the error says why
    raise ImportError(
        f"cnnviz is not built in {Path(__file__).parents[1]}: run `python -m pip install -e .` there"
    ) from error


def _choose_blas() -> None:
    """Let the core choose its BLAS: ``CNNVIZ_BLAS`` if set, else bundled, system, builtin.

    Raises
    ------
    ValueError
        If ``CNNVIZ_BLAS`` names a library that can not be loaded.
    """
    bundled = Path(__file__).parent / "_blas"
    _core.init_blas(os.environ.get("CNNVIZ_BLAS"), str(bundled) if bundled.is_dir() else None)


def get_num_threads() -> int:
    """Return the number of threads that the core computes with.

    Returns
    -------
    int
        The number given to `set_num_threads`; before that ``CNNVIZ_NUM_THREADS``, else the number of CPUs
        that this process may run on.
    """
    return _core.get_num_threads()


def set_num_threads(n: int) -> None:
    """Set the number of threads that the core computes with; results do not depend on it.

    Parameters
    ----------
    n : int
        1 to 64.

    Raises
    ------
    ValueError
        If `n` is out of range.
    """
    _core.set_num_threads(n)


def configuration() -> Dict[str, Any]:
    """Return the entries that `show_config` prints."""
    core = dict(_core.config())
    return {
        "cnnviz": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        **core,
    }


def show_config() -> None:
    """Print versions, CPU features, kernel tier, BLAS and threads, one per line.

    ``CNNVIZ_KERNELS`` (portable, avx2, avx512), ``CNNVIZ_BLAS`` (bundled, system, builtin or an absolute
    path) and ``CNNVIZ_NUM_THREADS``, set before the first use, override the choice.
    """
    for key, value in configuration().items():
        sys.stdout.write(f"{key + ':':<13}{value}\n")


_choose_blas()
