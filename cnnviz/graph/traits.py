"""The traits of an operator: what the rest of the package asks of an operator, said once, in its schema row.

A row takes one of the constants below; `but` changes single traits of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Optional

__all__ = [
    "ACTIVATION",
    "CHOICE",
    "FROM_SHAPE",
    "KEEPS",
    "KNOWN_ONLY",
    "MIXES",
    "NEW_SHAPE",
    "PICTURE",
    "POOL",
    "TRUTH",
    "Traits",
]


@dataclass(frozen=True)
class Traits:
    """One operator as the rest of the package sees it. No trait has a default.

    Attributes
    ----------
    reads : {"activations", "constants", "shape"}
        The part of its inputs that the output depends on. An operator that reads activations has a row in
        `cnnviz.lowering`. One that reads constants or a shape is evaluated in advance (`graph/fold.py`): a
        file in which the picture reaches an operator of constants is refused.
    axes : str
        How the axes of the output follow from those of the input (`model/axis_rules.py`). "keeps": each axis
        stays what it was, even if it is cut or stretched. "picture": N,C,H,W becomes N,C,H,W, by the
        operator's definition. "reshapes": the same numbers in the same order in another shape. "permutes":
        in the order of `perm`. "joins": the inputs are laid along `axis`. "spreads": repeated along axes.
        "reduces": without the axes `axes`. "picks": entries of `axis`. "multiplies": the rows of the first
        input and the columns of the second. "sums": as `equation` says. "mixes": none of these.
    same_numbers : bool
        The output holds the numbers of the first input in the same order, so that the scores of a network
        can be read before it as well as behind it (`graph/scores.py`).
    weights : int or None
        The position of the input with the weights that the sanity check replaces, None without any.
    ends_layer : bool
        The operator is an activation behind which automatic style transfer takes its layers. HardSigmoid is
        none: networks have it as a gate.
    gate : bool
        The values lie between 0 and 1, and mostly multiply others: style transfer takes the product with the
        operator's own input (SiLU) for the activation, and a gate of anything else for none.
    selects : bool
        The output holds some of the numbers of the first input, such as the class token of a transformer.
    pool : bool
        A window slides over the picture and reduces what it covers. A block of a VGG ends here. Global pools
        have no window.
    truth : bool
        The output is true or false: its elements are of type bool.
    chooses : bool
        The output says which elements were chosen (the index of a maximum). It has no gradient, and often a
        shape that the numbers decide; outputs that follow from it are left out (`reader/choices.py`).
    quantizes : bool
        The output has the numbers of the first input, rounded to a grid or in other units. The gradient
        passes straight through (`lowering/quantized.py`), and scores can be read before it.
    fractions : bool
        Integers give numbers with a fraction, which ONNX cuts off.
    probability : {"multiclass", "multilabel"} or None
        At the end of a network, the operator turns scores into probabilities: of classes that exclude each
        other, or of each class alone.
    """

    reads: Literal["activations", "constants", "shape"]
    axes: Literal[
        "keeps",
        "picture",
        "reshapes",
        "permutes",
        "joins",
        "spreads",
        "reduces",
        "picks",
        "multiplies",
        "sums",
        "mixes",
    ]
    same_numbers: bool
    weights: Optional[int]
    ends_layer: bool
    gate: bool
    selects: bool
    pool: bool
    truth: bool
    chooses: bool
    quantizes: bool
    fractions: bool
    probability: Optional[Literal["multiclass", "multilabel"]]

    def but(self, **changes: Any) -> Traits:
        """Return the same traits with some of them changed."""
        return replace(self, **changes)


#: An operator that reads activations, without any further trait; its axes are no longer those of the picture.
MIXES = Traits(
    reads="activations",
    axes="mixes",
    same_numbers=False,
    weights=None,
    ends_layer=False,
    gate=False,
    selects=False,
    pool=False,
    truth=False,
    chooses=False,
    quantizes=False,
    fractions=False,
    probability=None,
)
#: Arithmetic on each element, normalisation, padding, slicing, resizing.
KEEPS = MIXES.but(axes="keeps")
#: A comparison, or logic of truth values.
TRUTH = KEEPS.but(truth=True)
#: A nonlinearity that ends a layer.
ACTIVATION = KEEPS.but(ends_layer=True)
#: A convolution, a global pool, or an exchange of channels for places.
PICTURE = MIXES.but(axes="picture")
#: A pool with a sliding window.
POOL = PICTURE.but(pool=True)
#: A change of shape alone.
NEW_SHAPE = MIXES.but(axes="reshapes", same_numbers=True)
#: An operator that is only evaluated in advance, on constants and sizes.
KNOWN_ONLY = MIXES.but(reads="constants")
#: A choice between elements.
CHOICE = KNOWN_ONLY.but(chooses=True)
#: An operator whose result follows from the shape of its input.
FROM_SHAPE = MIXES.but(reads="shape")
