"""Inputs beside the picture, bound to a model: by the caller, or by what is given with each picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Mapping, Tuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from cnnviz.model.inputs import Inputs
from cnnviz.pictures.image import ImagesLike
from cnnviz.pictures.preprocessing import Preprocessing

Array = NDArray[np.float32]
Self = TypeVar("Self", bound="Bindable")


class Bindable:
    """A model as far as its inputs go; models share all else with those that they are bound from."""

    preprocessing: Preprocessing
    _inputs: Inputs

    @property
    def inputs(self) -> Dict[str, str]:
        """The inputs of the network by name, "picture" or "array", the picture that is explained first."""
        return dict(self._inputs.kinds)

    @property
    def bound(self) -> Dict[str, Array]:
        """The numbers that `bind` has given to other inputs."""
        return dict(self._inputs.bound)

    def bind(self: Self, inputs: Mapping[str, Any]) -> Self:
        """Return the model with other inputs bound to numbers: it then takes the picture alone.

        Parameters
        ----------
        inputs : mapping of str to number, array or picture
            For each input one number for all of it, an array of one row for all pictures, or one with a row
            for each picture of the batches to come. An input that takes pictures gets a picture, or a list.

        Returns
        -------
        Model
            It shares its weights and plans with this one.

        Raises
        ------
        TypeError, ValueError
            When there is no such input, or it holds no numbers.
        """
        return self._with(self._inputs.bind(inputs, self.preprocessing))

    def split(self: Self, image: ImagesLike) -> Tuple[Self, ImagesLike]:
        """Return the model bound to what is given beside the picture, and the picture, or pictures, alone.

        A network of several inputs is given ``{"image": picture, "age": array}``, by the names of its inputs
        ("image" stands for that of the picture), or a list of such mappings.
        """
        inputs, pictures = self._inputs.split(image, self.preprocessing)
        return (self if inputs is self._inputs else self._with(inputs)), pictures

    def repeated(self: Self, copies: int) -> Self:
        """Return the model with the rows of bound inputs repeated for several copies of a batch."""
        return self._with(self._inputs.repeated(copies)) if self._inputs.bound else self

    def bound_row(self, row: int) -> Dict[str, Array]:
        """Return what other inputs are bound to for one picture of a batch."""
        return self._inputs.row(row)

    def _with(self: Self, inputs: Inputs) -> Self:
        bound = object.__new__(type(self))  # copy.copy would pickle the model, and make its plans anew
        bound.__dict__.update(self.__dict__, _inputs=inputs)
        return bound

    def with_bound(self: Self, bound: Mapping[str, Array]) -> Self:
        """Return the model with the numbers that `bound` of another one has."""
        return self._with(replace(self._inputs, bound=bound))
