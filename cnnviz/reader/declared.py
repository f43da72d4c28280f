"""The shapes that a file declares for its inputs, outputs and other values."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional, Tuple

from cnnviz.errors import ModelFormatError, UnsupportedModelError
from cnnviz.graph.graph import Tensor
from cnnviz.reader.tensors import MAX_NDIM, data_type_name, text

__all__ = ["declared", "declared_shapes"]


def declared(proto: Any, name: str, what: str) -> Tensor:
    """The Tensor of a ValueInfoProto; old exporters wrote 0 or -1 for a free dimension."""
    if not proto.HasField("type"):
        return Tensor(name, None)
    if not proto.type.HasField("tensor_type"):
        raise UnsupportedModelError(f"{what} {name!r} is not a tensor")
    try:
        data_type_name(proto.type.tensor_type.elem_type)
    except (ModelFormatError, UnsupportedModelError) as error:
        raise type(error)(f"{what} {name!r}: {error}") from None
    if not proto.type.tensor_type.HasField("shape"):
        return Tensor(name, None)
    dims: List[Optional[int]] = []
    for dim in proto.type.tensor_type.shape.dim:
        known = dim.HasField("dim_value") and dim.dim_value not in (0, -1)
        if known and dim.dim_value < 0:
            raise ModelFormatError(f"{what} {name!r} has a dimension of {dim.dim_value}")
        dims.append(int(dim.dim_value) if known else None)
    if len(dims) > MAX_NDIM:
        raise UnsupportedModelError(
            f"{what} {name!r} has {len(dims)} dimensions, at most {MAX_NDIM} are supported"
        )
    return Tensor(name, tuple(dims))


def declared_shapes(protos: Iterable[Any]) -> Dict[str, Tuple[Optional[int], ...]]:
    """The shapes of ValueInfoProtos, those of other types and of too many dimensions left out."""
    shapes = {}
    for proto in protos:
        dims = proto.type.tensor_type.shape.dim
        if proto.type.tensor_type.HasField("shape") and len(dims) <= MAX_NDIM:
            shapes[text(proto.name, "name of a value")] = tuple(
                int(dim.dim_value) if dim.dim_value > 0 else None for dim in dims
            )
    return shapes
