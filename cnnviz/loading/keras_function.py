"""A Keras model read as a function of pictures: from one batch N,C,H,W to one float32 tensor.

Everything is written in keras.ops, so that every backend of Keras can run it and trace it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.loading.torch_module import OutputLike, chosen, fields

Array = NDArray[Any]
Size = Tuple[Optional[int], Optional[int]]

# The height and width at which a model of open sizes is compared with its export, where no example is given.
_USUAL = 224


@dataclass(frozen=True)
class KerasFunction:
    """A Keras model as a function of pictures.

    Attributes
    ----------
    keras : module
    model : keras.Model
    channels : int
    size : (int or None, int or None)
        Height and width, None where the model leaves them open.
    channels_last : bool
        Whether the model itself takes N,H,W,C.
    structure : Any
        The nesting of the model's input: a tensor, or a list or dictionary of one.
    path : tuple, optional
        The keys that lead to the tensor among the model's outputs; None where it returns one tensor.
    """

    keras: Any
    model: Any
    channels: int
    size: Size
    channels_last: bool
    structure: Any = None
    path: Optional[Tuple[Any, ...]] = None

    def __call__(self, x: Any, trainable: Sequence[Any], others: Sequence[Any]) -> Any:
        """Return the output for a tensor N,C,H,W and the model's weights; maps come as N,C,H,W too.

        The model's own check of its input, which refuses sizes other than the declared one, is left out.
        """
        model = self.model
        if self.declared:
            found, _ = model.stateless_call(trainable, others, self.inside(x), training=False)
            return self.outside(found)
        pairs = [*zip(model.trainable_variables, trainable), *zip(model.non_trainable_variables, others)]
        with self.keras.StatelessScope(state_mapping=pairs):
            return self.outside(model(self.inside(x), training=False))

    @property
    def declared(self) -> bool:
        """Whether the model is a graph of layers from a declared input: functional or sequential."""
        return bool(getattr(self.model, "inputs", None))

    def inside(self, x: Any) -> Any:
        """Return a tensor N,C,H,W as the model takes it."""
        if self.channels_last:
            x = self.keras.ops.transpose(x, (0, 2, 3, 1))
        if isinstance(self.structure, Mapping):
            return dict.fromkeys(self.structure, x)
        return [x] if isinstance(self.structure, (list, tuple)) else x

    def outside(self, found: Any) -> Any:
        """Return the tensor among the model's outputs, maps as N,C,H,W."""
        for key in self.path or ():
            found = fields(found)[key]
        found = self.keras.ops.cast(found, "float32")
        moved = self.channels_last and len(found.shape) == 4
        return self.keras.ops.transpose(found, (0, 3, 1, 2)) if moved else found

    def run(self, x: Array) -> Array:
        """Run the model on an array N,C,H,W."""
        with without_gradients(self.keras):
            trainable, others = (
                [variable.value for variable in variables]
                for variables in (self.model.trainable_variables, self.model.non_trainable_variables)
            )
            found = self(self.keras.ops.convert_to_tensor(x), trainable, others)
            return np.asarray(self.keras.ops.convert_to_numpy(found))

    def exact(self, x: Array) -> Optional[Array]:
        """Run the model in float64, None where a layer insists on float32."""
        try:
            with computing_in(self.keras, self.model, "float64"):
                return self.run(x)
        except Exception:  # backends raise whatever their operators raise at mixed types
            return None

    def example(self, size: Optional[Tuple[int, int]], batch: int, seed: int = 0) -> NDArray[np.float32]:
        """Return random pictures on the scale that the model seems to take."""
        height, width = size or tuple(n or _USUAL for n in self.size)
        shape = (batch, self.channels, height, width)
        scaled = any(type(part).__name__ in ("Rescaling", "Normalization") for part in parts(self.model))
        noise = np.random.default_rng(seed).random(shape, dtype=np.float32)
        return noise * np.float32(255.0) if scaled else noise


def function_of(keras: Any, model: Any, example: Optional[Array], output: OutputLike) -> KerasFunction:
    """Read a Keras model.

    Parameters
    ----------
    keras : module
    model : keras.Model
    example : ndarray, shape (N, C, H, W) or (N, H, W, C), optional
        An input as the model takes it, for a model that does not say what it takes.
    output : int or str, optional
        The output to take, of several.

    Raises
    ------
    TypeError
        When it is no model of Keras 3, or its weights are quantised.
    ValueError
        When it has several inputs, is not built, or takes no pictures; the message says what to do.
    """
    _check_kind(keras, model)
    structure, shape = _input_of(model, example)
    if len(shape) != 4:
        raise ValueError(f"the model's input has shape {_text(shape)}: pictures are N,H,W,C or N,C,H,W")
    last = _channels_last(keras, model)
    channels, size = (shape[3], shape[1:3]) if last else (shape[1], shape[2:4])
    if channels is None:
        raise ValueError(
            f"the model's input has shape {_text(shape)}, without the number of its channels: pass "
            "example=, a picture batch as the model takes it"
        )
    if example is not None and example.ndim == 4:
        given = example.shape[3 if last else 1]
        if given != channels:
            raise ValueError(
                f"example has {given} channels in shape {example.shape}, the model takes {channels}"
            )
    found = KerasFunction(keras, model, int(channels), (size[0], size[1]), last, structure)
    return replace(found, path=_path(found, _size(example, last), output))


def _path(function: KerasFunction, size: Optional[Tuple[int, int]], output: OutputLike) -> Any:
    """The keys that lead to the output among those of the model."""
    keras = function.keras
    example = function.example(size, 1)
    with without_gradients(keras):
        try:
            found = function.model(function.inside(keras.ops.convert_to_tensor(example)), training=False)
        except Exception as error:  # whatever a layer or the backend raises
            text = next((line.strip() for line in str(error).splitlines()[1:] if line.strip()), str(error))
            raise ValueError(
                f"the model does not run at pictures N,C,H,W of shape {example.shape}: {text[:300]}"
            ) from error
        return chosen(keras.ops, found, output)[1]


def _check_kind(keras: Any, model: Any) -> None:
    if isinstance(model, keras.Model):
        if any(getattr(_policy(part), "quantization_mode", None) for part in parts(model)):
            raise TypeError("the model's weights are quantised: pass the float model that it was made from")
        return
    kinds = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    if "tf_keras" in kinds:
        hint = "a model of Keras 2: write model.export(FOLDER), and load it with cnnviz.load(FOLDER)"
    else:
        hint = f"not {type(model).__name__}; a file or a SavedModel is read by cnnviz.load(PATH)"
    raise TypeError(f"from_keras takes a keras.Model of Keras 3, {hint}")


def _input_of(model: Any, example: Optional[Array]) -> Tuple[Any, Tuple[Optional[int], ...]]:
    """The nesting of the model's one input, and its shape."""
    inputs = getattr(model, "inputs", None)
    if inputs:
        if len(inputs) > 1:
            raise ValueError(several([str(tensor.name) for tensor in inputs]))
        return getattr(model, "_inputs_struct", None), tuple(inputs[0].shape)
    if example is not None:
        return None, (None, *example.shape[1:])
    shapes = _built_shapes(model)
    if len(shapes) > 1:
        raise ValueError(several(list(shapes)))
    if shapes and model.built:
        shape = next(iter(shapes.values()))
        return None, (None, *shape[1:])
    raise ValueError(
        "the model has not been called yet, and says nothing of its input: pass example=, pictures as the "
        "model takes them, or their shape"
    )


def _built_shapes(model: Any) -> Mapping[str, Sequence[Optional[int]]]:
    """The shapes of a subclassed model's arguments when it was built, by argument."""
    config = model.get_build_config() or {}
    found = config.get("shapes_dict") or ({"x": config["input_shape"]} if config.get("input_shape") else {})
    return {key: shape for key, shape in found.items() if isinstance(shape, (list, tuple))}


def several(names: Sequence[str]) -> str:
    """Return the message for a model of several inputs."""
    return (
        f"the model takes {len(names)} inputs ({', '.join(names)}), and from_keras takes models of one "
        "picture: hold the others in constants, as in keras.Model(image, model([image, other]))"
    )


def _channels_last(keras: Any, model: Any) -> bool:
    """The order of axes that the model's layers were made for."""
    for part in parts(model):
        order = getattr(part, "data_format", None)
        if order in ("channels_last", "channels_first"):
            return bool(order == "channels_last")
    return bool(keras.config.image_data_format() == "channels_last")


def size_of(function: KerasFunction, example: Optional[Array]) -> Optional[Tuple[int, int]]:
    """Return the height and width of an example as the model takes it, None where there is none."""
    return _size(example, function.channels_last)


def _size(example: Optional[Array], last: bool) -> Optional[Tuple[int, int]]:
    if example is None:
        return None
    height, width = example.shape[1:3] if last else example.shape[2:4]
    return int(height), int(width)


def parts(model: Any) -> List[Any]:
    """Return the layers of a model and of the models inside it, in their order."""
    found: List[Any] = []
    for layer in getattr(model, "layers", ()):
        found.append(layer)
        found += parts(layer)
    return found


def _policy(part: Any) -> Any:
    return getattr(part, "dtype_policy", None)


@contextlib.contextmanager
def computing_in(keras: Any, model: Any, dtype: str) -> Iterator[None]:
    """Let every layer compute in one float type, whatever policy it has; the weights keep theirs."""
    kept = [(layer, layer.dtype_policy) for layer in (model, *parts(model)) if _policy(layer) is not None]
    try:
        for layer, policy in kept:
            if policy.compute_dtype != dtype:
                layer.dtype_policy = _computing(keras, dtype, policy.variable_dtype)
        yield
    finally:
        for layer, policy in kept:
            if _policy(layer) is not policy:
                layer.dtype_policy = policy


def _computing(keras: Any, dtype: str, stored: str) -> Any:
    """A policy that computes in one float type, with weights that are stored in another."""

    class Computing(keras.DTypePolicy):  # type: ignore[misc]  # keras has no types here
        """A policy with two types of any kind: those that Keras has by name mix few."""

        compute_dtype = property(lambda self: dtype)
        variable_dtype = property(lambda self: stored)

    return Computing("float32")


def without_gradients(keras: Any) -> Any:
    """Return a context in which PyTorch, where it is Keras' backend, records nothing for a backward pass."""
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()


def _text(shape: Sequence[Optional[int]]) -> str:
    return str(tuple(shape))
