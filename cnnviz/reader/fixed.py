"""Inputs of a file that are fixed to numbers: they become constants before the file is read."""

from __future__ import annotations

import math
from typing import Any, List, Mapping, Optional

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import ModelFormatError
from cnnviz.reader.part import Part
from cnnviz.reader.tensors import text

__all__ = ["with_fixed"]

# The most numbers of one fixed input: as much as a picture of 4096 x 4096.
_MOST = 3 << 24


def with_fixed(part: Part, values: Mapping[str, Any]) -> Part:
    """Return a part of a file with numbers in place of some of its inputs.

    A number fills the input's declared shape, an array has that shape, or lacks the batch axis; axes that
    the file leaves open count as one for a number. The batch is one image, and operators broadcast it over
    any other batch.

    Raises
    ------
    TypeError
        When a value holds no numbers.
    ValueError
        When there is no such input, or the shape or the type of a value does not fit it.
    """
    if not values:
        return part
    protos = {text(proto.name, "input name"): proto for proto in part.inputs}
    for name in values:
        if name not in protos:
            raise ValueError(f"inputs: there is no input {name!r}, only {', '.join(map(repr, protos))}")
    fixed = [_initializer(protos[name], name, value) for name, value in values.items()]
    left = [proto for name, proto in protos.items() if name not in values]
    return part._replace(initializers=[*part.initializers, *fixed], inputs=left)


def _initializer(proto: Any, name: str, value: Any) -> Any:
    import onnx
    from onnx import helper, numpy_helper

    tensor = proto.type.tensor_type
    code = tensor.elem_type or onnx.TensorProto.FLOAT
    if code == onnx.TensorProto.BFLOAT16:
        code = onnx.TensorProto.FLOAT
    try:
        dtype = helper.tensor_dtype_to_np_dtype(code)
    except KeyError:
        raise ModelFormatError(f"input {name!r}: element type {code} does not exist") from None
    shape = _shape(tensor) if tensor.HasField("shape") else None
    found = numpy_helper.from_array(_shaped(_numbers(value, dtype, name), shape, name), name)
    found.data_type = code
    return found


def _shape(tensor: Any) -> List[Optional[int]]:
    dims = tensor.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in dims]


def _numbers(value: Any, dtype: Any, name: str) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, object)  # rows of different lengths
    if array.dtype.kind not in "fiub" or array.size == 0:
        raise TypeError(f"inputs: {name!r} must be fixed to numbers, not to {value!r:.80}")
    made = array.astype(dtype)
    if np.dtype(dtype).kind in "iub" and not np.array_equal(made, array):
        raise ValueError(f"inputs: {name!r} holds {np.dtype(dtype).name}, which {value!r:.80} is not")
    return made


def _shaped(array: NDArray[Any], shape: Optional[List[Optional[int]]], name: str) -> NDArray[Any]:
    """Return an array in the declared shape, None for one that is not declared."""
    if shape is None:
        return array
    if array.ndim == 0:
        filled = [1 if n is None else n for n in shape]
        if math.prod(filled) > _MOST:
            raise ValueError(f"inputs: {name!r} of shape {tuple(filled)} is too large to fill with a number")
        return np.full(filled, array)
    if array.ndim == len(shape) - 1:
        array = array[np.newaxis]
    if array.ndim != len(shape) or any(n not in (None, given) for n, given in zip(shape, array.shape)):
        declared = ", ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"inputs: {name!r} has shape ({declared}), which {array.shape} does not fit")
    return array
