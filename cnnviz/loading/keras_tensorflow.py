"""The export of functions of TensorFlow to ONNX, by tf2onnx, with the large weights kept out of its graphs.

Freezing copies every weight into a TensorFlow graph some twenty times. So large weights are arguments of the
traced function; they become constants of the ONNX graph when it is finished.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.loading.keras_function import KerasFunction
from cnnviz.loading.silence import silenced

# The newest opset that tf2onnx writes.
_OPSET = 18
# Weights of more elements are arguments. Vectors never are: batch normalisation is folded by their numbers.
_LARGE = 4096
_INPUT = "input"
# The marks of functions that TensorFlow's optimizer does not inline.
_WHOLE = ("_XlaMustCompile", "_noinline")


def keras_message(function: KerasFunction) -> Any:
    """Return a Keras model of the TensorFlow backend as an ONNX message, with an input N,C,H,W.

    Raises
    ------
    ImportError
        When tf2onnx is not installed.
    """
    import tensorflow as tf

    model = function.model
    trainable, others = list(model.trainable_variables), list(model.non_trainable_variables)
    large = [v for v in (*trainable, *others) if len(v.shape) > 1 and int(np.prod(v.shape)) > _LARGE]
    place = {id(variable): index for index, variable in enumerate(large)}

    def call(x: Any, *weights: Any) -> Any:
        def now(variables: Sequence[Any]) -> List[Any]:
            return [weights[place[id(v)]] if id(v) in place else v.value for v in variables]

        return function(x, now(trainable), now(others))

    specs = [tf.TensorSpec((None, function.channels, *function.size), tf.float32, name=_INPUT)]
    specs += [tf.TensorSpec(v.shape, v.dtype, name=f"weight_{i}") for i, v in enumerate(large)]
    with quiet():
        concrete = tf.function(call, input_signature=specs, autograph=False).get_concrete_function()
        bound = {f"weight_{i}": np.asarray(v.value) for i, v in enumerate(large)}
        return message_of(tf, concrete, bound)


def message_of(tf: Any, concrete: Any, bound: Mapping[str, NDArray[Any]]) -> Any:
    """Return a concrete function as an ONNX message.

    Parameters
    ----------
    tf : module
    concrete : tensorflow.types.experimental.ConcreteFunction
    bound : mapping of str to ndarray
        The arguments that are constants of the network, by name.
    """
    process, optimize, simplify = _tf2onnx()
    import onnx
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False, aggressive_inlining=True)
    graph_def = frozen.graph.as_graph_def(add_shapes=True)
    _hold(tf, graph_def, _captured(tf, concrete))
    _inlined(graph_def)
    held = set(_captured(tf, concrete))
    inputs = [t.name for t in frozen.inputs if t.dtype != tf.resource and t.op.name not in held]
    outputs = [tensor.name for tensor in frozen.outputs]
    with tf.Graph().as_default():
        graph_def = simplify(inputs, outputs, graph_def)
    # To be able to give up an optimization that fails, tf2onnx copies the graph before each of them.
    for careful in (False, True):
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(graph_def, name="")
            found = process(graph, input_names=inputs, output_names=outputs, opset=_OPSET)
            try:
                message = optimize(found, catch_errors=careful).make_model("network")
                break
            except Exception:  # an optimization raises whatever its author did not think of
                if careful:
                    raise
    _without_erfc(onnx, message)
    arguments = [value for value in message.graph.input if value.name.partition(":")[0] not in bound]
    for value in message.graph.input:
        array = bound.get(value.name.partition(":")[0])
        if array is not None:
            message.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
    del message.graph.input[:]
    message.graph.input.extend(arguments)
    return message


def _tf2onnx() -> Tuple[Any, Any, Any]:
    """tf2onnx' steps: TensorFlow's graph to its own, its optimizer, and TensorFlow's optimizer."""
    try:
        from tf2onnx.optimizer import optimize_graph
        from tf2onnx.tf_loader import tf_optimize
        from tf2onnx.tfonnx import process_tf_graph
    except ImportError as error:
        raise ImportError("networks of TensorFlow need tf2onnx: pip install tf2onnx onnx") from error
    return process_tf_graph, optimize_graph, tf_optimize


def _captured(tf: Any, concrete: Any) -> Dict[str, Any]:
    """The tensors that a function found outside of itself, by the placeholder that stands for each.

    Such are the mean and the variance of a Normalization layer; without more they would become inputs.
    """
    pairs = zip(concrete.inputs[-len(concrete.captured_inputs) :], concrete.captured_inputs)
    return {inner.op.name: outer for inner, outer in pairs if inner.dtype != tf.resource}


def _hold(tf: Any, graph_def: Any, captured: Mapping[str, Any]) -> None:
    """Turn the placeholders of captured tensors into constants."""
    for node in graph_def.node:
        if node.op == "Placeholder" and node.name in captured:
            tensor = captured[node.name]
            for key in list(node.attr):
                del node.attr[key]
            node.op = "Const"
            node.attr["dtype"].type = tensor.dtype.as_datatype_enum
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(tensor.numpy()))


def _inlined(graph_def: Any) -> None:
    """Let TensorFlow inline functions that were to be compiled whole, such as grouped convolutions."""
    nodes = [*graph_def.node, *(node for one in graph_def.library.function for node in one.node_def)]
    for owner in (*nodes, *graph_def.library.function):
        for mark in _WHOLE:
            if mark in owner.attr:
                del owner.attr[mark]


def _without_erfc(onnx: Any, message: Any) -> None:
    """Write the complement of the error function, which ONNX does not have, as 1 - Erf(x)."""
    nodes: List[Any] = []
    for node in message.graph.node:
        if node.op_type == "Erfc":
            error, one = f"{node.output[0]}/erf", f"{node.output[0]}/one"
            message.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((), np.float32), one))
            nodes.append(onnx.helper.make_node("Erf", [node.input[0]], [error], name=error))
            node = onnx.helper.make_node("Sub", [one, error], [node.output[0]], name=node.name)
        nodes.append(node)
    del message.graph.node[:]
    message.graph.node.extend(nodes)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what exporters print, log and warn of from the caller: it concerns their own insides.

    TensorFlow's optimizer writes past sys.stderr.
    """
    with _unwritten(2), silenced("tensorflow", "tf2onnx", "absl", "jax"):
        yield


@contextlib.contextmanager
def _unwritten(descriptor: int) -> Iterator[None]:
    """Send what is written to a file descriptor nowhere."""
    sys.stderr.flush()
    kept = os.dup(descriptor)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, descriptor)
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(nowhere)
        os.close(kept)
