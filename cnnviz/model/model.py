"""The model: a network, run forward and backward, with the preprocessing of its pictures and its labels."""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union, overload

import numpy as np
from numpy.typing import NDArray

from cnnviz.checks import renamed
from cnnviz.graph.entry import image_input, with_pictures_first
from cnnviz.graph.graph import Graph, plain_mappings
from cnnviz.graph.simplify import simplify
from cnnviz.lowering.lower import Lowered
from cnnviz.model.answering import Answering
from cnnviz.model.gradients import Gradient, batch_first, gradient_request
from cnnviz.model.heads import heads_of
from cnnviz.model.inputs import InputLike, Inputs, check_goals
from cnnviz.model.kinds import answers_of
from cnnviz.model.labels import LabelsByOutput, LabelsLike
from cnnviz.model.layers import LayerList
from cnnviz.model.metadata import labels_in
from cnnviz.model.passes import run_backward, run_forward
from cnnviz.model.plan_pool import PACKED_NBYTES, PlanPool, Request, usual_packed_nbytes
from cnnviz.model.sizes import Size, fed
from cnnviz.model.summary import described
from cnnviz.objectives import INPUT, ObjectiveLike
from cnnviz.one_line import shortened
from cnnviz.pictures.image import ImagesLike, Listed
from cnnviz.pictures.preprocessing import PreprocessingLike

Array = NDArray[np.float32]
RELU_RULES = ("plain", "guided", "deconv", "redirected")

# The memory that idle plans may keep, in bytes: a dozen plans of SqueezeNet at its usual size.
_IDLE_NBYTES = 2**28


class Model(Answering):
    """A convolutional network with its preprocessing and its labels; made by `cnnviz.load`.

    No method changes a model. Several threads may use one model at the same time; results do not depend on
    the batch size or on the number of threads, bit for bit. Models can be pickled.

    Layers are addressed by the names of the values in the ONNX file, or by the name of a node. Two names work
    on every network: ``"input"``, the preprocessed image, and ``"logits"``, the score before a final softmax
    or sigmoid.

    Parameters
    ----------
    graph : Graph
        The graph that the reader made.
    preprocessing : str or Preprocessing, optional
        By default that of the graph's metadata (`cnnviz.model.metadata`), else "imagenet".
    labels : str, path or sequence of str, optional
        By default those of the graph's metadata, else those that follow from the number of classes.
    size : (int, int), optional
    inputs : mapping of str to str, optional
        "picture" or "array" for inputs by name.
    name : str
    packed_nbytes : int, optional
        The arguments of `cnnviz.load`.

    Attributes
    ----------
    preprocessing : Preprocessing
    labels : Labels
        The names of the classes. A network that gives values has one label, dense outputs have none.
    classes : int
        The number of classes: 0 for a network that gives values or dense outputs.
    answer : {"classes", "labels", "binary", "value", "map", "values", "dense"}
        The kind of answer to a picture. "classes": scores of classes that exclude each other. "labels": the
        network ends in a Sigmoid, a picture may have several classes, or none. "binary": it ends in a Sigmoid
        of one score; class 1, "positive", has that score, class 0, "negative", has minus it. "value": one
        number without a Sigmoid, such as an age. "map": an output N,C,H,W or N,H,W,C has the scores of C
        classes at each place, as segmenters have; the score of a class is its mean over the places that it
        wins, in a picture where it wins none over all places, and one map behind a Sigmoid has the classes
        "negative" and "positive". "values": one number at each place, such as a depth; its mean is the score.
        "dense": any other output, such as boxes or time steps, for which targets are objectives or
        cotangents. `predict` answers for the first four.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        preprocessing: PreprocessingLike = None,
        labels: LabelsByOutput = None,
        size: Optional[Size] = None,
        inputs: Optional[Mapping[str, str]] = None,
        name: str = "network",
        packed_nbytes: Optional[int] = None,
    ) -> None:
        self.name = name
        arranged, kinds = with_pictures_first(graph, inputs or {}, name)
        self.graph = simplify(arranged)
        image = image_input(self.graph, name)
        self.input_name = image.name
        given = PACKED_NBYTES if packed_nbytes is None else packed_nbytes
        self._pool = PlanPool(self.graph, _IDLE_NBYTES, given)

        def lower(at: Size, values: Optional[Sequence[str]] = None) -> Lowered:
            return self._pool.lower((1, image.channels, *at), values)

        self.preprocessing, usual = fed(self.graph, image, preprocessing, size, lower, name)
        self.layers = LayerList(self.graph, usual, {INPUT: self.input_name}, name)
        self.graph, answers = answers_of(self.graph, self.layers, self.preprocessing.size or ())
        if any(answer.paired for answer in answers):
            self._pool = PlanPool(self.graph, _IDLE_NBYTES, given)
            usual = lower(self.preprocessing.size or ())
            self.layers = LayerList(self.graph, usual, {INPUT: self.input_name}, name)
        picture = (1, image.channels, *(self.preprocessing.size or ()))
        scores = {answer.scores: answer.kind for answer in answers}
        self.layers = self.layers.judged(scores, partial(self._pool.batch_axes, picture))
        self._heads = heads_of(answers, labels_in(graph.metadata) if labels is None else labels)
        self._ask(next(iter(self._heads)))
        if packed_nbytes is None:
            self._pool.packed_limit = usual_packed_nbytes(self.layers.macs())
        self.packed_nbytes = self._pool.packed_limit
        self._inputs = Inputs(self.graph, kinds)

    def __repr__(self) -> str:
        answer = self.head.answer.described()
        return f"<cnnviz.Model {shortened(self.name)!r}: {len(self.layers)} layers, {answer}>"

    def __reduce__(self) -> Tuple[Any, ...]:
        return _rebuilt, (
            plain_mappings(self.graph),
            self.preprocessing,
            self.labels_by_output,
            self.name,
            self.packed_nbytes,
            self.inputs,
            self.bound,
            self.asked_output,
        )

    def preprocess(self, image: ImagesLike) -> Array:
        """Return the network's input for a picture or a batch of them: N,C,H,W float32.

        Of what is given for several inputs it is that of the picture.
        """
        return self.preprocessing.feed_of(self.split(image)[1]).x

    def activations(self, image: ImagesLike, layers: Union[str, Listed[str]]) -> Dict[str, Array]:
        """Return the activations of layers for a picture or a batch, each N,C,H,W (or N,K), by name."""
        model, image = self.split(image)
        return model.forward(self.preprocess(image), [layers] if isinstance(layers, str) else layers)

    @overload
    def forward(self, x: InputLike, layers: None = None) -> Array: ...
    @overload
    def forward(self, x: InputLike, layers: Listed[str]) -> Dict[str, Array]: ...
    def forward(self, x: InputLike, layers: Optional[Listed[str]] = None) -> Union[Array, Dict[str, Array]]:
        """Run the network on preprocessed pictures.

        Parameters
        ----------
        x : ndarray of float32, shape (N, C, H, W)
            As `preprocess` returns it: any N, and other H and W where the network's layers allow them. For a
            network of several inputs a mapping of their names to arrays with a row for each image.
        layers : sequence of str, optional

        Returns
        -------
        ndarray, or dict of str to ndarray
            The output that is asked, the file's first one by default; with `layers`, those layers by name.

        Raises
        ------
        TypeError
            When x is not an array of floats.
        ValueError
            When x has a wrong shape or holds NaN, or a layer does not exist.
        """
        feeds = self._inputs.feeds(x, self.preprocessing.channels)
        if isinstance(layers, str):
            raise TypeError(f"layers must be a list of names: pass [{layers!r}]")
        output = self.head.answer.output
        values = {name: self.layers.resolve(name) for name in (layers if layers is not None else [output])}
        request = Request(feeds.x.shape, keep=tuple(dict.fromkeys(values.values())))
        read = run_forward(self._pool, feeds, request)
        found = {name: read[value] for name, value in values.items()}
        return found if layers is not None else found[output]

    @renamed(objective="target")
    def gradient(
        self,
        x: InputLike,
        target: ObjectiveLike,
        *,
        wrt: Union[str, Sequence[str]] = INPUT,
        relu: str = "plain",
    ) -> Gradient:
        """Differentiate a target by the input or by layers.

        Parameters
        ----------
        x : ndarray of float32, shape (N, C, H, W)
            As `preprocess` returns it.
        target : int, str, sequence of them, mapping of str to array, or Objective
            A class by index or label (its pre-softmax score), one class for each image, ``{"colour": "red"}``
            for a class of another output, a cotangent array for each layer (a vector-Jacobian product), or an
            objective of `cnnviz.objectives`.
        wrt : str or sequence of str
            ``"input"``, layers, or other inputs by name.
        relu : {"plain", "guided", "deconv", "redirected"}
            How rectifiers pass the gradient back: the derivative; that of Springenberg et al. 2014, section
            3.4; that of Zeiler & Fergus 2013, section 2.1; or the derivative, except for images whose whole
            gradient it would block.

        Returns
        -------
        Gradient

        Raises
        ------
        TypeError, ValueError
            As `forward`; and for a class, a label or a rule that does not exist.
        """
        return self.gradients(x, [target], wrt=wrt, relu=relu)[0]

    @renamed(objectives="targets")
    def gradients(
        self,
        x: InputLike,
        targets: Sequence[ObjectiveLike],
        *,
        wrt: Union[str, Sequence[str]] = INPUT,
        relu: str = "plain",
    ) -> List[Gradient]:
        """Differentiate several targets after one forward pass.

        Parameters
        ----------
        x : ndarray of float32, shape (N, C, H, W)
            As `preprocess` returns it.
        targets : sequence
            The targets of `gradient`, one for each result.
        wrt, relu
            As for `gradient`.

        Returns
        -------
        list of Gradient
            One for each target, bit for bit what `gradient` returns for it alone.

        Raises
        ------
        TypeError, ValueError
            As `gradient`; and for no target at all.
        """
        if relu not in RELU_RULES:
            raise ValueError(f"relu must be one of {', '.join(RELU_RULES)}, not {relu!r}")
        feeds = self._inputs.feeds(x, self.preprocessing.channels)
        goals = [self.objective(target) for target in targets]
        check_goals(goals, self.graph, self.layers, len(feeds.x), self.batch_axis)
        names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
        if not names:
            raise ValueError("wrt is empty: name 'input' or a layer")
        read = tuple(dict.fromkeys(layer for goal in goals for layer in goal.layers))
        values = {name: self.layers.resolve(name) for name in dict.fromkeys((*read, *names))}
        request = gradient_request(feeds.x.shape, read, names, values, self._inputs.kinds.keys())
        return run_backward(self._pool, feeds, goals, names, values, request, relu)

    def value(self, x: InputLike, target: ObjectiveLike) -> NDArray[np.float64]:
        """Return the value of a target for each image, `Gradient.value` without a backward pass.

        Parameters
        ----------
        x : ndarray of float32, shape (N, C, H, W)
            As `preprocess` returns it.
        target
            As for `gradient`.

        Raises
        ------
        TypeError, ValueError
            As `gradient`.
        """
        goal = self.objective(target)
        feeds = self._inputs.feeds(x, self.preprocessing.channels)
        check_goals([goal], self.graph, self.layers, len(feeds.x), self.batch_axis)
        read = self.forward(x, goal.layers)
        return goal.evaluate({name: batch_first(read[name], self.batch_axis(name) or 0) for name in read})[0]

    def batch_axis(self, layer: str) -> Optional[int]:
        """Return the axis of the batch in a layer, None where each picture has several rows of the layer.

        It is the first axis of most layers; text recognisers have the time steps before it. Objectives and
        gradients have it first in any case.
        """
        value = self.layers.resolve(layer)
        shape = self.layers.get(value, (1,))
        if shape[:1] == (1,):
            return 0
        picture = (1, self.preprocessing.channels, *(self.preprocessing.size or ()))
        return self._pool.batch_axis(Request(picture, (value,)), value, shape)

    def summary(self) -> str:
        """Describe the network in a table: a line for each layer, with its operator, shape and weights.

        The last column has the bytes of the weights that passes so far have packed for speed: see the option
        `packed_nbytes` of `cnnviz.load`.
        """
        return described(
            self._inputs, self.name, self.preprocessing, self.head.answer, self.layers, self._pool
        )

    def _read(self, x: InputLike, layer: str) -> Array:
        return self.forward(x, [layer])[layer]


def _rebuilt(
    graph: Graph,
    preprocessing: PreprocessingLike,
    labels: Mapping[str, LabelsLike],
    name: str,
    packed_nbytes: int,
    kinds: Mapping[str, str],
    bound: Mapping[str, Array],
    output: Optional[str],
) -> Model:
    options: Dict[str, Any] = {"name": name, "packed_nbytes": packed_nbytes, "inputs": kinds}
    model = Model(graph, preprocessing=preprocessing, labels=labels, **options).with_bound(bound)
    return model if output is None else model.output(output)
