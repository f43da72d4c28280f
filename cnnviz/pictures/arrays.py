"""Arrays of other libraries, such as tensors, as arrays of NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_array(given: Any, name: str) -> NDArray[Any]:
    """Return an array, or a tensor of another library wherever it lies, as a NumPy array.

    Raises
    ------
    TypeError
        When the object gives no array.
    """
    if hasattr(given, "detach") and hasattr(given, "cpu"):  # a tensor of PyTorch, perhaps with a gradient
        given = given.detach().cpu()
        given = given.float() if "bfloat16" in str(given.dtype) else given  # which NumPy does not have
    try:
        return np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(given).__name__
        raise TypeError(f"{name} is of type {kind}, which gives no NumPy array: {error}") from None


def plain_targets(target: Any) -> Any:
    """Return targets given as a tensor of another library as an array; anything else as it is."""
    tensor = hasattr(target, "__array__") and not isinstance(target, (np.ndarray, np.generic))
    if tensor:
        return as_array(target, "target")[()]
    if isinstance(target, (list, tuple)):
        return [plain_targets(one) for one in target]
    return target
