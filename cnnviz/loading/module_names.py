"""The names of a module's parts as names of layers: "layer4.1.conv2" for a value of the exported graph."""

from __future__ import annotations

import ast
from typing import Any, Dict, List

from cnnviz.loading.torch_module import INNER

# The key under which the newer exporter keeps the path of modules that a node comes from.
_SCOPES = "pkg.torch.onnx.name_scopes"
# How many values a part may hand on before the search for its output is given up.
_MOST = 8


def candidates(message: Any) -> Dict[str, List[str]]:
    """Return, for each part of a module, the values that may be its output, likeliest first.

    These are the values that nodes outside the part read, the last one first.

    Parameters
    ----------
    message : onnx.ModelProto
        As an exporter of PyTorch writes it.
    """
    nodes = [node for node in message.graph.node if node.op_type != "Constant"]
    scopes = [_scopes(node) for node in nodes]
    readers: Dict[str, List[int]] = {}
    for index, node in enumerate(nodes):
        for name in node.input:
            readers.setdefault(name, []).append(index)
    outputs = {tensor.name for tensor in message.graph.output}
    found: Dict[str, List[str]] = {}
    for index, node in enumerate(nodes):
        if not node.output:
            continue
        value = node.output[0]
        outside = [set(scopes[reader]) for reader in readers.get(value, ())]
        for scope in scopes[index]:
            if value in outputs or any(scope not in others for others in outside):
                found.setdefault(scope, []).insert(0, value)
    return {scope: values[:_MOST] for scope, values in found.items()}


def _scopes(node: Any) -> List[str]:
    """The qualified names of the modules that a node lies in, outermost first."""
    kept = {entry.key: entry.value for entry in node.metadata_props}
    if _SCOPES in kept:
        names = [name for name in ast.literal_eval(kept[_SCOPES])[:-1] if name]
        return [inside(name) for name in names if inside(name)]
    return _traced_scopes(node.name)


def inside(name: str) -> str:
    """Return the qualified name of a part without the wrapper that `torch_module.wrapped` puts around."""
    return name[len(INNER) :].lstrip(".") if name == INNER or name.startswith(f"{INNER}.") else name


def _traced_scopes(name: str) -> List[str]:
    """Split a path: "/layer4/layer4.1/conv2/Conv" -> layer4, layer4.1, layer4.1.conv2.

    The older exporter writes a child of a Sequential with the Sequential's own name in front.
    """
    if not name.startswith("/"):
        return []
    scopes: List[str] = []
    before = ""
    for part in name[1:].split("/")[:-1]:
        own = part[len(before) + 1 :] if before and part.startswith(f"{before}.") else part
        if part != INNER:
            scopes.append(f"{scopes[-1]}.{own}" if scopes else own)
        before = part
    return scopes
