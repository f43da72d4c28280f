"""One broken or hostile model per row: how to make it, the error it must end in, and a part of the message."""
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Sequence, Tuple, Type

import numpy as np
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from cnnviz.errors import CnnvizError, ModelFormatError, UnsupportedModelError


def tensor(name: str = "w", shape: Sequence[int] = (4, 3, 3, 3)) -> TensorProto:
    numbers = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return numpy_helper.from_array(numbers, name)


def ints(name: str, *numbers: int) -> TensorProto:
    return numpy_helper.from_array(np.array(numbers, np.int64), name)


def net(
    *nodes: NodeProto,
    initializers: Sequence[TensorProto] = (),
    shape: Optional[Sequence[Any]] = (1, 3, 8, 8),
    opset: int = 13,
) -> ModelProto:
    """A model from `x` to `y`."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        list(initializers),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(op: str, *inputs: str, output: str = "y", **attributes: Any) -> NodeProto:
    return helper.make_node(op, list(inputs), [output], name=f"the {op}", **attributes)


def conv(weights: Optional[TensorProto] = None, **attributes: Any) -> ModelProto:
    return net(node("Conv", "x", "w", **attributes), initializers=[weights or tensor()])


def conv_transpose(**attributes: Any) -> ModelProto:
    """A transposed convolution of x, 1,3,8,8, with a kernel of 3x3 and two channels per group."""
    return net(node("ConvTranspose", "x", "w", **attributes), initializers=[tensor("w", (3, 2, 3, 3))])


def edited(change: Callable[[ModelProto], Any], model: Optional[ModelProto] = None) -> ModelProto:
    """A good model after one change."""
    model = model or conv()
    change(model)
    return model


def edited_tensor(change: Callable[[TensorProto], Any]) -> ModelProto:
    return edited(lambda model: change(model.graph.initializer[0]))


def set_dims(*dims: int) -> Callable[[TensorProto], None]:
    def change(proto: TensorProto) -> None:
        del proto.dims[:]
        proto.dims.extend(dims)

    return change


def typed(data_type: int, field: str, numbers: Sequence[Any], dims: Sequence[int]) -> TensorProto:
    proto = TensorProto(name="w", data_type=data_type, dims=dims)
    getattr(proto, field).extend(numbers)
    return proto


def condition(name: str) -> NodeProto:
    return helper.make_node("Constant", [], [name], value_int=1)


def branches(nodes: Sequence[NodeProto], *results: str) -> Dict[str, GraphProto]:
    """The attributes of an If, whose branches are one graph."""
    values = [helper.make_tensor_value_info(name, 1, None) for name in results or ("b",)]
    branch = helper.make_graph(nodes, "b", [], values)
    return {"then_branch": branch, "else_branch": branch}


def function(name: str, *nodes: NodeProto) -> FunctionProto:
    """A function of a to b."""
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("mine", 1)]
    return helper.make_function("mine", name, ["a"], ["b"], nodes, opsets)


def calling(*functions: FunctionProto, inputs: str = "x") -> ModelProto:
    """A model that calls the function Twice."""
    model = net(helper.make_node("Twice", list(inputs), ["y"], domain="mine"))
    model.functions.extend(functions)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    return model


def exploding() -> ModelProto:
    """Forty functions, each of which calls the next one twice."""
    bodies = [[node(f"F{i + 1}", "a", output="c", domain="mine"), node(f"F{i + 1}", "c", output="b", domain="mine")] for i in range(40)]
    functions = [function(f"F{i}" if i else "Twice", *body) for i, body in enumerate(bodies)]
    return calling(*functions, function("F40", node("Relu", "a", output="b")))


F, U = ModelFormatError, UnsupportedModelError
Row = Tuple[Callable[[], Any], Type[CnnvizError], str]

FILES: Dict[str, Row] = {
    "empty": (lambda: b"", F, "is empty"),
    "one byte": (lambda: b"\x08", F, "not an ONNX"),
    "HTML": (lambda: b"<!DOCTYPE html><html></html>", F, "HTML"),
    "LFS pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", F, "Git LFS"),
    "zip": (lambda: b"PK\x03\x04" + bytes(100), F, "zip"),
    "pickle": (lambda: b"\x80\x02}q\x00.", F, "pickle"),
    "HDF5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(100), F, "HDF5"),
    "text": (lambda: b"import torch\n" * 50, F, "not an ONNX"),
    "zeros": (lambda: bytes(1000), F, "not an ONNX"),
    "recursion": (lambda: b"\x3a\x7f" * 5000, F, "not an ONNX"),
    "no IR version": (lambda: edited(lambda m: m.ClearField("ir_version")), F, "ir_version"),
    "IR version 0": (lambda: edited(lambda m: setattr(m, "ir_version", 0)), F, "ir_version"),
    "IR version 2**31": (lambda: edited(lambda m: setattr(m, "ir_version", 2**31)), U, "IR version 2147483648"),
    "no opset": (lambda: edited(lambda m: m.ClearField("opset_import")), F, "opset"),
    "opset 0": (lambda: conv_opset(0), F, "opset 0"),
    "opset -1": (lambda: conv_opset(-1), F, "opset -1"),
    "opset 6 and an operator that does not exist": (lambda: net(node("Frobnicate", "x"), opset=6), U, "Frobnicate: the Frobnicate"),
    "opset 6 and a dangling input": (lambda: net(node("Relu", "nowhere"), opset=6), F, "'nowhere'"),
    "opset 5 and an unknown type": (lambda: net(node("Cast", "x", to="STRING"), opset=5), U, "Cast (to 'STRING')"),
    "opset 6 and a type by name": (lambda: net(node("Cast", "x", to="FLOAT"), opset=6), F, "'to' must be int, not str"),
    "opset 5 and an old Tile": (lambda: net(node("Tile", *"xwa"), initializers=[ints("w", 2), ints("a", 1)], opset=5), U, "Tile (along one axis"),
    "opset 6 and shapes that do not broadcast": (lambda: net(node("Add", "x", "w", broadcast=1, axis=1), initializers=[tensor("w", (5,))], opset=6), F, "the Add"),
    "opset 6 and an axis too large": (lambda: net(node("Add", "x", "w", broadcast=1, axis=4), initializers=[tensor("w", (3,))], opset=6), F, "1 axes from axis 4 on do not fit 4 dimensions"),
    "opset 6 and an axis too small": (lambda: net(node("Add", "x", "w", broadcast=1, axis=-9), initializers=[tensor("w", (3,))], opset=6), F, "1 axes from axis -9 on do not fit"),
    "opset 6 and more axes than are left": (lambda: net(node("Flatten", "x", output="f"), node("Add", "f", "w", broadcast=1, axis=1), initializers=[tensor("w", (3, 4, 5))], opset=6), F, "the Add"),
    "opset 7 and an axis of broadcasting": (lambda: net(node("Add", "x", "w", broadcast=1, axis=1), initializers=[tensor("w", (3,))], opset=7), F, "unknown attribute 'axis'"),
    "opset 29": (lambda: conv_opset(29), U, "opset 29 is not supported, only 1 to 28"),
    "opset 2**31": (lambda: conv_opset(2**31), U, "opset 2147483648"),
    "opset twice": (lambda: edited(lambda m: m.opset_import.add(domain="ai.onnx", version=13)), F, "twice"),
    "no graph": (lambda: edited(lambda m: m.ClearField("graph")), F, "no graph"),
    "sparse": (lambda: edited(lambda m: m.graph.sparse_initializer.add()), U, "sparse"),
}


def conv_opset(version: int) -> ModelProto:
    model = conv()
    model.opset_import[0].version = version
    return model


GRAPHS: Dict[str, Row] = {
    "no output": (lambda: edited(lambda m: m.graph.ClearField("output")), F, "no output"),
    "unnamed initializer": (lambda: edited_tensor(lambda t: t.ClearField("name")), F, "has no name"),
    "initializer twice": (lambda: edited(lambda m: m.graph.initializer.append(tensor())), F, "'w' is defined twice"),
    "input twice": (lambda: edited(lambda m: m.graph.input.append(m.graph.input[0])), F, "'x' is listed twice"),
    "output twice": (lambda: edited(lambda m: m.graph.output.append(m.graph.output[0])), F, "listed twice"),
    "unknown output": (lambda: edited(lambda m: setattr(m.graph.output[0], "name", "z")), F, "'z'"),
    "output is an empty name": (lambda: edited(lambda m: m.graph.output[0].ClearField("name")), F, "output"),
    "value made twice": (lambda: net(node("Relu", "x"), node("Relu", "x")), F, "'y' is defined twice"),
    "node overwrites input": (lambda: net(node("Relu", "x", output="x"), node("Relu", "x")), F, "'x' is defined twice"),
    "dangling": (lambda: net(node("Relu", "nowhere")), F, "'nowhere', which no node makes"),
    "cycle": (lambda: net(node("Add", "x", "b", output="a"), node("Sub", "a", "y", output="b"), node("Relu", "b"), node("Mul", "y", "y", output="z")), F, "cycle: each of the nodes 'the Add', 'the Sub' needs"),
    "cycle of seven": (lambda: net(*[node("Relu", f"v{i}", output=f"v{(i + 1) % 7}") for i in range(7)], node("Relu", "x")), F, "'the Relu' and 2 more needs"),
    "cycle through a branch": (lambda: net(condition("k"), node("If", "k", **branches([node("Relu", "y", output="b")]))), F, "cycle: each of the nodes 'the If' needs"),
    "reads itself": (lambda: net(node("Add", "x", "y")), F, "cycle"),
    "node without outputs": (lambda: net(NodeProto(op_type="Relu", input=["x"])), F, "no output"),
    "node without type": (lambda: net(NodeProto(input=["x"], output=["y"])), F, "op_type"),
    "too many inputs": (lambda: net(node("Relu", "x", "x")), F, "has 2 inputs, expected 1"),
    "too few inputs": (lambda: net(node("Conv", "x")), F, "has 1 inputs, expected 2 to 3"),
    "absent input": (lambda: net(node("Add", "x", "")), F, "has 1 inputs, expected 2"),
    "unknown operator": (lambda: net(node("Frobnicate", "x")), U, "Frobnicate: the Frobnicate"),
    "custom domain": (lambda: net(helper.make_node("Relu", ["x"], ["y"], domain="com.example")), U, "com.example.Relu"),
    "contrib domain": (lambda: net(helper.make_node("Relu", ["x"], ["y"], domain="com.microsoft")), U, "com.microsoft.Relu (custom domain)"),
    "contrib operator of ONNX": (lambda: net(node("FastGelu", "x")), U, "FastGelu: the FastGelu"),
    "If of the picture": (lambda: net(node("If", "x", **branches([node("Relu", "x", output="b")]))), U, "If (its condition depends on the picture): the If"),
    "If of a size": (lambda: net(node("Shape", "x", output="s"), node("If", "s", **branches([node("Relu", "x", output="b")]))), U, "If (its condition is not a constant)"),
    "If of two truths": (lambda: net(node("If", "k", **branches([node("Relu", "x", output="b")])), initializers=[ints("k", 1, 0)]), F, "2 elements, not 1"),
    "If without branches": (lambda: net(condition("k"), node("If", "k")), F, "not two branches"),
    "If with a number for a branch": (lambda: net(condition("k"), node("If", "k", then_branch=1, else_branch=2)), F, "not two branches"),
    "If without a condition": (lambda: net(node("If", **branches([node("Relu", "x", output="b")]))), F, "0 inputs, expected 1"),
    "branch of two results": (lambda: net(condition("k"), node("If", "k", **branches([node("Relu", "x", output="b")], "b", "b"))), F, "1 outputs, its body 2"),
    "branch without its result": (lambda: net(condition("k"), node("If", "k", **branches([node("Relu", "x", output="c")]))), F, "'b', which no node makes"),
    "branch reads what no node makes": (lambda: net(condition("k"), node("If", "k", **branches([node("Relu", "c", output="b")]))), F, "'c', which no node makes"),
    "branch of a custom operator": (lambda: net(condition("k"), node("If", "k", **branches([node("Frobnicate", "x", output="b")]))), U, "Frobnicate: the Frobnicate"),
    "value of a branch is read outside": (lambda: net(condition("k"), node("If", "k", output="z", **branches([node("Relu", "x", output="b")])), node("Relu", "b")), F, "'b', which no node makes"),
    "subgraph": (lambda: net(node("Relu", "x", body=branches([])["then_branch"])), U, "has a subgraph"),
    "function calls itself": (lambda: calling(function("Twice", node("Twice", "a", output="b", domain="mine"))), F, "'mine.Twice' calls itself"),
    "functions call each other": (lambda: calling(function("Twice", node("Once", "a", output="b", domain="mine")), function("Once", node("Twice", "a", output="b", domain="mine"))), F, "calls itself"),
    "function with too many inputs": (lambda: calling(function("Twice", node("Relu", "a", output="b")), inputs="xx"), F, "fewer inputs or outputs"),
    "function without its result": (lambda: calling(function("Twice", node("Relu", "a", output="c"))), F, "'b', which no node makes"),
    "function overwrites its input": (lambda: calling(function("Twice", node("Relu", "a", output="a"))), F, "makes its own input 'a'"),
    "function twice": (lambda: calling(*[function("Twice", node("Relu", "a", output="b"))] * 2), F, "'mine.Twice' is defined twice"),
    "function of a custom operator": (lambda: calling(function("Twice", node("Frobnicate", "a", output="b"))), U, "Frobnicate: the Frobnicate"),
    "function of opset 0": (lambda: edited(lambda m: setattr(m.functions[0].opset_import[0], "version", 0), calling(function("Twice", node("Relu", "a", output="b")))), U, "has opset 0, not 1 to"),
    "reference outside of a function": (lambda: edited(lambda m: m.graph.node[0].attribute.add(name="group", ref_attr_name="g", type=2)), F, "refers to a function's"),
    "training": (lambda: net(node("BatchNormalization", *"xssss", training_mode=1), initializers=[tensor("s", (3,))], opset=15), U, "training_mode=1"),
    "mask is read": (lambda: net(helper.make_node("Dropout", ["x"], ["d", "m"]), node("Relu", "m")), U, "Dropout"),
    "mask of a node with NUL in its name is read": (lambda: net(helper.make_node("Dropout", ["x"], ["d", "m"], name="a\0b"), node("Relu", "m")), U, "Dropout (only its first output is supported): a\0b"),
    "custom domain with NUL": (lambda: net(helper.make_node("Relu", ["x"], ["y"], domain="com\0example", name="n")), U, "com\0example.Relu (custom domain): n"),
    "operand from the picture": (lambda: net(node("Reshape", "x", "x")), U, "shape depends on the picture"),
    "sizes only": (lambda: net(node("BitwiseNot", "x"), opset=18), U, "BitwiseNot (of a value that depends on the picture)"),
    "string input": (lambda: edited(lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 8)), U, "string"),
    "sequence input": (lambda: edited(lambda m: m.graph.input[0].type.sequence_type.SetInParent()), U, "not a tensor"),
    "negative dimension": (lambda: net(node("Relu", "x"), shape=(1, 3, -5, 8)), F, "dimension of -5"),
    "nine dimensions": (lambda: net(node("Relu", "x"), shape=(1,) * 9), U, "9 dimensions"),
    "size overflows": (lambda: net(node("Relu", "x"), shape=(2**32, 2**32)), F, "too large"),
    "input of 10**12": (lambda: net(node("Relu", "x"), shape=(10**6, 10**6)), F, "elements"),
}

ATTRIBUTES: Dict[str, Row] = {
    "wrong type": (lambda: conv(strides=1), F, "'strides' must be ints, not int"),
    "float for int": (lambda: conv(group=1.0), F, "'group' must be int, not float"),
    "unknown": (lambda: conv(colour="red"), F, "unknown attribute 'colour'"),
    "twice": (lambda: edited(lambda m: m.graph.node[0].attribute.extend([helper.make_attribute("group", 1)] * 2)), F, "twice"),
    "no type": (lambda: edited(lambda m: m.graph.node[0].attribute.add(name="group", i=1)), F, "must be int"),
    "missing": (lambda: net(node("MaxPool", "x")), F, "kernel_shape is missing"),
    "NaN": (lambda: net(node("LeakyRelu", "x", alpha=float("nan"))), F, "not a number"),
    "not UTF-8": (lambda: conv(auto_pad=b"\xff\xfe"), F, "UTF-8"),
    "unknown auto_pad": (lambda: conv(auto_pad="SAME"), F, "'SAME' does not exist"),
    "auto_pad and pads": (lambda: conv(auto_pad="SAME_UPPER", pads=[1, 1, 1, 1]), F, "contradicts pads"),
    "strides of 0": (lambda: conv(strides=[0, 1]), F, "strides"),
    "dilations of -1": (lambda: conv(dilations=[-1, 1]), F, "dilations"),
    "negative pads": (lambda: conv(pads=[-1, 0, 0, 0]), F, "pads"),
    "huge pads": (lambda: conv(pads=[2**62, 0, 0, 0]), F, "pads"),
    "pads of wrong length": (lambda: conv(pads=[1, 1]), F, "has 2 numbers, expected 4"),
    "kernel_shape differs": (lambda: conv(kernel_shape=[5, 5]), F, "kernel_shape"),
    "kernel larger than picture": (lambda: conv(tensor(shape=(4, 3, 9, 9))), F, "the Conv"),
    "weights of rank 3": (lambda: conv(tensor(shape=(4, 3, 3))), F, "weights of shape"),
    "weights of rank 5": (lambda: conv(tensor(shape=(4, 3, 3, 3, 3))), F, "weights of shape"),
    "wrong channels": (lambda: conv(tensor(shape=(4, 2, 3, 3))), F, "the Conv"),
    "group 0": (lambda: conv(group=0), F, "the Conv"),
    "group -1": (lambda: conv(group=-1), F, "the Conv"),
    "group 2": (lambda: conv(group=2), F, "the Conv"),
    "group 2**40": (lambda: conv(group=2**40), F, "the Conv"),
    "transposed strides of 0": (lambda: conv_transpose(strides=[1, 0]), F, "strides"),
    "transposed pads below 0": (lambda: conv_transpose(pads=[0, 0, 0, -1]), F, "pads"),
    "transposed pads of everything": (lambda: conv_transpose(pads=[5, 0, 5, 0]), F, "leaves none"),
    "transposed output padding": (lambda: conv_transpose(output_padding=[0, -1]), F, "output_padding"),
    "transposed output padding of 1": (lambda: conv_transpose(output_padding=[1]), F, "output_padding"),
    "transposed output padding 2**40": (lambda: conv_transpose(output_padding=[0, 2**40]), F, "output padding"),
    "transposed output of 0": (lambda: conv_transpose(output_shape=[0, 9]), F, "output_shape"),
    "transposed output of 3": (lambda: conv_transpose(output_shape=[1, 9, 9]), F, "output_shape"),
    "transposed output of 2**50": (lambda: conv_transpose(output_shape=[2**50, 9]), F, "the ConvTranspose"),
    "transposed output too large": (lambda: conv_transpose(output_shape=[2**30, 2**30]), F, "too large"),
    "transposed strides too large": (lambda: conv_transpose(strides=[2**30, 2**30]), F, "too large"),
    "transposed group 2": (lambda: conv_transpose(group=2), F, "the ConvTranspose"),
    "transposed filters": (lambda: net(node("ConvTranspose", "x", "w"), initializers=[tensor()]), F, "4 filters"),
    "pool kernel 0": (lambda: net(node("MaxPool", "x", kernel_shape=[0, 2])), F, "kernel_shape"),
    "pool kernel of length 1": (lambda: net(node("MaxPool", "x", kernel_shape=[2])), F, "kernel_shape"),
    "pool pads beyond kernel": (lambda: net(node("MaxPool", "x", kernel_shape=[2, 2], pads=[9, 9, 9, 9])), F, "the MaxPool"),
    "dilation overflows": (lambda: conv(dilations=[2**31 - 1, 2**31 - 1]), F, "the Conv"),
    "LRN size 0": (lambda: net(node("LRN", "x", size=0)), F, "the LRN"),
    "LRN size 2**40": (lambda: net(node("LRN", "x", size=2**40)), F, "the LRN"),
    "concat axis": (lambda: net(node("Concat", "x", "x", axis=7)), F, "axis 7"),
    "concat of nothing": (lambda: net(node("Concat", axis=0)), F, "0 inputs"),
    "perm": (lambda: net(node("Transpose", "x", perm=[0, 0, 1, 2])), F, "perm"),
    "perm too long": (lambda: net(node("Transpose", "x", perm=list(range(5000)))), F, "more than 4096"),
    "reduced axis": (lambda: net(node("ReduceMax", "x", axes=[1, 7])), F, "axis 7"),
    "reduced axis twice": (lambda: net(node("ReduceL2", "x", axes=[1, -3])), F, "one axis twice"),
    "reduced by the picture": (lambda: net(node("ReduceMin", "x", "x"), opset=18), U, "axes depends on the picture"),
    "softmax axis": (lambda: net(node("Softmax", "x", axis=4)), F, "axis 4"),
    "flatten axis": (lambda: net(node("Flatten", "x", axis=9)), F, "axis 9"),
    "broadcast": (lambda: net(node("Add", "x", "w"), initializers=[tensor("w", (5, 1, 1))]), F, "the Add"),
    "reshape twice -1": (lambda: reshape(-1, -1), F, "cannot reshape"),
    "reshape product": (lambda: reshape(7, 3), F, "192 elements"),
    "reshape overflow": (lambda: reshape(2**62, 2**62), F, "cannot reshape"),
    "reshape negative": (lambda: reshape(-7, 3), F, "cannot reshape"),
    "reshape copies too much": (lambda: reshape(1, 3, 8, 8, 0), F, "copy"),
    "reshape by floats": (lambda: net(node("Reshape", "x", "s"), initializers=[tensor("s", (2,))]), F, "expected integers"),
    "reshape by a matrix": (lambda: net(node("Reshape", "x", "s"), initializers=[numpy_helper.from_array(np.ones((2, 2), np.int64), "s")]), F, "short list"),
    "squeeze": (lambda: net(node("Squeeze", "x", "a"), initializers=[ints("a", 1)]), F, "not all 1"),
    "unsqueeze twice": (lambda: net(node("Unsqueeze", "x", "a"), initializers=[ints("a", 1, 1)]), F, "twice"),
    "slice step 0": (lambda: net(node("Slice", "x", *"seat"), initializers=[ints("s", 0), ints("e", 4), ints("a", 2), ints("t", 0)]), F, "step"),
    "empty slice": (lambda: net(node("Slice", "x", *"se"), initializers=[ints("s", 5), ints("e", 2)]), F, "the Slice"),
    "split sum": (lambda: net(node("Split", "x", "s"), initializers=[ints("s", 5)]), F, "cannot split"),
    "gather index": (lambda: net(node("Gather", "x", "i"), initializers=[ints("i", 9)]), F, "out of range"),
    "gather by the picture": (lambda: net(node("GatherND", "x", "x")), U, "indices depend on the picture"),
    "gather tuple too long": (lambda: net(node("GatherND", "x", "i"), initializers=[ints("i", *[0] * 5)]), F, "do not fit"),
    "gather tuple outside": (lambda: net(node("GatherND", "x", "i"), initializers=[ints("i", 0, 3)]), F, "out of range"),
    "gather of a batch": (lambda: net(node("GatherND", "x", "i", batch_dims=2), initializers=[ints("i", 0)]), F, "batch_dims 2"),
    "scatter of other shape": (lambda: net(node("ScatterND", "x", "i", "x"), initializers=[ints("i", 0, 2)]), F, "expected (8, 8)"),
    "scatter and median": (lambda: net(node("ScatterND", *"xiu", reduction="median"), initializers=[ints("i", 0), tensor("u", (3, 8, 8))]), F, "reduction 'median' is none of"),
    "running sum over axis 4": (lambda: net(node("CumSum", "x", "i"), initializers=[ints("i", 4)]), F, "axis 4"),
    "running sum over two axes": (lambda: net(node("CumSum", "x", "i"), initializers=[ints("i", 1, 2)]), F, "2 elements"),
    "einsum of two terms": (lambda: net(node("Einsum", "x", equation="ab,bc")), F, "2 terms for 1 inputs"),
    "einsum of three labels": (lambda: net(node("Einsum", "x", equation="abc->a")), F, "does not fit 4 dimensions"),
    "einsum of digits": (lambda: net(node("Einsum", "x", equation="abc1->a")), F, "no letters"),
    "einsum invents": (lambda: net(node("Einsum", "x", equation="abcd->ae")), F, "repeats or invents"),
    "einsum of a diagonal": (lambda: net(node("Einsum", "x", equation="abcc->abc")), U, "a diagonal"),
    "einsum of other extents": (lambda: net(node("Einsum", "x", "x", equation="abcd,bacd->ab")), F, "'b' stands for 3 and for 1"),
    "Gemm of a picture": (lambda: net(node("Gemm", "x", "w"), initializers=[tensor("w", (8, 4))]), F, "the Gemm"),
    "batch norm length": (lambda: net(node("BatchNormalization", *"xssss"), initializers=[tensor("s", (5,))]), F, "the Batch"),
    "4-d convolution": (lambda: net(node("Conv", "x", "w"), shape=(1, 3, 4, 4, 4, 4), initializers=[tensor("w", (4, 3, 1, 1, 1, 1))]), U, "one to 3 spatial axes"),
    "cast to string": (lambda: net(node("Cast", "x", to=8)), U, "Cast"),
    "cast like nothing": (lambda: net(node("CastLike", "x")), F, "has 1 inputs, expected 2"),
    "quantised to int64": (lambda: net(node("ArgMax", "w", output="e"), node("QuantizeLinear", "w", "w", "e", output="q"), node("Add", "x", "q"), initializers=[tensor()]), U, "element type 7"),
    "quantised to int32": (lambda: net(node("QuantizeLinear", "w", "s", "z", output="q"), node("Add", "x", "q"), initializers=[tensor(), tensor("s", ()), TensorProto(name="z", data_type=6, int32_data=[0])]), U, "element type 6"),
    "scales of another axis": (lambda: net(node("DequantizeLinear", "w", "s", output="q"), node("Add", "x", "q"), initializers=[tensor(), tensor("s", (5,))]), F, "scale of shape (5,) does not fit"),
    "zero points of another axis": (lambda: net(node("DequantizeLinear", "w", "s", "z", output="q"), node("Add", "x", "q"), initializers=[tensor(), tensor("s", (3,)), ints("z", 1, 1)]), F, "zero point of shape (2,) does not fit"),
    "blocks of -1": (lambda: net(node("DequantizeLinear", "w", "s", output="q", block_size=-1), node("Add", "x", "q"), initializers=[tensor(), tensor("s", (4, 2, 3, 3))]), F, "does not fit"),
    "cast to nothing": (lambda: net(node("Cast", "x", to=99)), U, "Cast"),
    "pad mode": (lambda: net(node("Pad", "x", "p", mode="mirror"), initializers=[ints("p", *[1] * 8)]), F, "mode 'mirror'"),
    "pad length": (lambda: net(node("Pad", "x", "p"), initializers=[ints("p", 1, 1)]), F, "pads (1, 1)"),
    "reflect too far": (lambda: net(node("Pad", "x", "p", mode="reflect"), initializers=[ints("p", 0, 0, 99, 0, 0, 0, 0, 0)]), F, "the Pad"),
    "resize to nothing": (lambda: net(node("Resize", "x", "", "s"), initializers=[numpy_helper.from_array(np.float32([1, 1, 0, 1]), "s")]), F, "scales"),
}


def reshape(*shape: int) -> ModelProto:
    return net(node("Reshape", "x", "s"), initializers=[ints("s", *shape)])


TENSORS: Dict[str, Row] = {
    "raw too short": (lambda: edited_tensor(lambda t: setattr(t, "raw_data", t.raw_data[:-1])), F, "431 bytes, but 108 elements of float32 take 432"),
    "raw too long": (lambda: edited_tensor(lambda t: setattr(t, "raw_data", t.raw_data + b"\0")), F, "433 bytes"),
    "no data": (lambda: edited_tensor(lambda t: t.ClearField("raw_data")), F, "0 elements, but the shape needs 108"),
    "raw and typed": (lambda: edited_tensor(lambda t: t.float_data.append(1)), F, "float_data and raw_data"),
    "wrong field": (lambda: conv(typed(1, "int32_data", [1] * 4, [4])), F, "belongs in float_data"),
    "typed too short": (lambda: conv(typed(1, "float_data", [1] * 3, [4])), F, "3 elements, but the shape needs 4"),
    "out of range": (lambda: conv(typed(3, "int32_data", [300], [1])), F, "int8 cannot"),
    "uint64 too large": (lambda: conv(typed(13, "uint64_data", [2**64 - 1], [1])), F, "int64"),
    "negative dimension": (lambda: edited_tensor(set_dims(-4, -27)), F, "negative"),
    "overflowing shape": (lambda: edited_tensor(set_dims(2**32, 2**32)), F, "4 GiB"),
    "a terabyte": (lambda: edited_tensor(set_dims(2**20, 2**20)), F, "4 GiB"),
    "nine dimensions": (lambda: edited_tensor(set_dims(*[1] * 9)), U, "9 dimensions"),
    "no type": (lambda: edited_tensor(lambda t: t.ClearField("data_type")), F, "element type 0"),
    "unknown type": (lambda: edited_tensor(lambda t: setattr(t, "data_type", 77)), F, "element type 77"),
    "string": (lambda: conv(typed(8, "string_data", [b"a"], [1])), U, "string"),
    "complex": (lambda: conv(typed(14, "float_data", [1, 1], [1])), U, "complex64"),
    "int4": (lambda: conv(typed(22, "int32_data", [1], [2])), U, "int4"),
    "float8": (lambda: conv(typed(17, "int32_data", [1], [1])), U, "float8"),
    "segment": (lambda: edited_tensor(lambda t: setattr(t.segment, "begin", 1)), U, "segment"),
    "external in memory": (lambda: conv(external(location="w.bin")), F, "from its path"),
    "stray external_data": (lambda: edited_tensor(lambda t: t.external_data.add(key="location", value="w")), F, "data_location"),
}

BOMBS: Dict[str, Row] = {
    "ConstantOfShape": (lambda: net(node("ConstantOfShape", "s", output="c"), node("Add", "x", "c"), initializers=[ints("s", 10**6, 10**6)]), F, "1000000000000 elements"),
    "ConstantOfShape overflow": (lambda: net(node("ConstantOfShape", "s", output="c"), node("Add", "x", "c"), initializers=[ints("s", *[2**40] * 4)]), F, "elements"),
    "Expand a constant": (lambda: net(node("Expand", "w", "s", output="c"), node("Add", "x", "c"), initializers=[tensor("w", (1,)), ints("s", 10**6, 10**6)]), F, "elements"),
    "Expand": (lambda: net(node("Expand", "x", "s"), initializers=[ints("s", 10**9, 1, 1, 1, 1)]), F, "elements"),
    "Tile a constant": (lambda: net(node("Tile", "w", "s", output="c"), node("Add", "x", "c"), initializers=[tensor("w", (1, 1)), ints("s", 10**6, 10**6)]), F, "elements"),
    "Tile": (lambda: net(node("Tile", "x", "s"), initializers=[ints("s", *[4000] * 4)]), F, "Tile"),
    "Range": (lambda: net(node("Range", *"abc", output="r"), node("Add", "x", "r"), initializers=[numpy_helper.from_array(np.int64(v), n) for n, v in zip("abc", (0, 10**12, 1))]), F, "elements"),
    "Range for ever": (lambda: net(node("Range", *"abc", output="r"), node("Add", "x", "r"), initializers=[numpy_helper.from_array(np.int64(v), n) for n, v in zip("abc", (0, 9, 0))]), F, "the Range"),
    "broadcast": (lambda: net(node("Mul", *"ab", output="c"), node("Add", "x", "c"), initializers=[tensor("a", (10**5, 1)), tensor("b", (1, 10**5))]), F, "elements"),
    "Pad": (lambda: net(node("Pad", "x", "p"), initializers=[ints("p", *[10**6] * 8)]), F, "the Pad"),
    "Pad overflow": (lambda: net(node("Pad", "x", "p"), initializers=[ints("p", *[2**62] * 8)]), F, "the Pad"),
    "conv pads": (lambda: conv(pads=[10**6] * 4), F, "elements"),
    "transposed output": (lambda: conv_transpose(output_shape=[10**5, 10**5]), F, "elements"),
    "Resize": (lambda: net(node("Resize", "x", "", "s"), initializers=[numpy_helper.from_array(np.float32([1, 1, 1e30, 1]), "s")]), F, "the Resize"),
    "Gather": (lambda: net(node("Gather", "w", "i", output="c"), node("Add", "x", "c"), initializers=[tensor("w", (2, 10**5)), numpy_helper.from_array(np.zeros(10**5, np.int64), "i")]), F, "elements"),
    "functions": (exploding, F, "branches and functions make too many nodes"),
    "NonZero": (lambda: net(*[node("Expand", "w", "s", output="e"), node("NonZero", "e", output="n")], node("Gather", "x", "n"), initializers=[tensor("w", (1,)), ints("s", 2**13, 2**14)]), F, "elements"),
    "OneHot": (lambda: net(node("OneHot", "i", "d", "v", output="c"), node("Add", "x", "c"), initializers=[ints("i", *[0] * 1000), ints("d", 10**6), tensor("v", (2,))]), F, "1000000000 elements"),
    "EyeLike": (lambda: net(node("Reshape", "x", "s", output="r"), node("EyeLike", "r", output="e"), node("Relu", "e"), shape=(1, 1, 2**15, 2**15), initializers=[ints("s", 2**15, 2**15)]), F, "elements"),
    "MatMul": (lambda: net(node("MatMul", *"ab", output="c"), node("Add", "x", "c"), initializers=[tensor("a", (10**5, 1)), tensor("b", (1, 10**5))]), F, "elements"),
    "products": (lambda: net(node("Expand", "a", "s", output="e"), *[node("MatMul", "e" if i == 0 else f"v{i}", "e", output=f"v{i + 1}") for i in range(900)], node("Add", "x", "v900"), initializers=[tensor("a", (1,)), ints("s", 2**11, 2**11)]), F, "elements"),
    "Einsum": (lambda: net(node("Einsum", *"aaaa", output="c", equation="i,j,k,l->"), node("Add", "x", "c"), initializers=[tensor("a", (1000,))]), F, "1000000000000 elements"),
    "GatherND": (lambda: net(node("GatherND", "w", "i", output="c"), node("Add", "x", "c"), initializers=[tensor("w", (2, 10**5)), numpy_helper.from_array(np.zeros((10**5, 1), np.int64), "i")]), F, "elements"),
    "Pad a constant": (lambda: net(node("Pad", "w", "p", output="c"), node("Add", "x", "c"), initializers=[tensor("w", (1, 1)), ints("p", *[10**6] * 4)]), F, "elements"),
    "Resize a constant": (lambda: net(node("Resize", "w", "", "s", output="c"), node("Add", "x", "c"), initializers=[tensor("w", (1, 2, 9, 9)), numpy_helper.from_array(np.float32([1, 1, 1800, 1800]), "s")]), F, "elements"),
    "doubling": (lambda: net(*[node("Concat", f"v{i}", f"v{i}", output=f"v{i + 1}", axis=0) for i in range(60)], node("Relu", "v60"), initializers=[tensor("v0", (1,))]), F, "elements"),
    "doubling activations": (lambda: net(node("Relu", "x", output="v0"), *[node("Concat", f"v{i}", f"v{i}", output=f"v{i + 1}", axis=0) for i in range(70)], node("Relu", "v70")), F, "elements"),
}


def external(**entries: str) -> TensorProto:
    proto = TensorProto(name="w", data_type=1, dims=[4, 3, 3, 3], data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        proto.external_data.add(key=key, value=value)
    return proto


ROWS = {
    f"{group}: {name}": row
    for group, rows in (
        ("file", FILES),
        ("graph", GRAPHS),
        ("attribute", ATTRIBUTES),
        ("tensor", TENSORS),
        ("bomb", BOMBS),
    )
    for name, row in rows.items()
}
