"""How a picture is written down while it is optimised: as pixels, as the network's input, or as frequencies.

A parametrisation maps the variable z that the loop moves to *planes*: pictures N,C,H,W from 0 to 1, RGB (or
one channel of grey for a network that takes grey), and carries gradients back. The steepest way up in one
set of coordinates is not the steepest in another, which is why the same objective gives noise in pixels and
shapes in frequencies (Olah et al. 2017, "Preconditioning").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.preprocessing import Preprocessing
from cnnviz.steps import Bounds, Vector

Array = NDArray[np.float32]

#: Principal directions of ImageNet's colours, each scaled by the square root of its variance (lucid): rows
#: are R, G, B. Divided by the largest column norm, so that no component is amplified.
COLOUR_SVD_SQRT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
COLOUR_BASIS = COLOUR_SVD_SQRT / np.sqrt((COLOUR_SVD_SQRT**2).sum(axis=0)).max()


@dataclass(frozen=True)
class Feed:
    """The way from planes to what a network is fed, without any change of size: affine for each channel."""

    preprocessing: Preprocessing

    def forward(self, planes: Vector) -> Array:
        """Turn planes N,C,H,W into what the network is fed, float32."""
        low, high = self.preprocessing.bounds()
        x = (high - low) * self._ordered(planes)
        x += low
        return np.ascontiguousarray(x, dtype=np.float32)

    def adjoint(self, dx: Array) -> Vector:
        """Gradient with respect to the planes."""
        low, high = self.preprocessing.bounds()
        return self._ordered((high - low) * dx).astype(np.float64)

    def inverse(self, x: NDArray[Any]) -> Vector:
        """The network's input back to planes; values outside 0 to 1 are kept."""
        low, high = self.preprocessing.bounds()
        return self._ordered((x - low) / (high - low)).astype(np.float64)

    def from_pictures(self, pictures: Array) -> Vector:
        """Turn pictures N,H,W,3 into planes."""
        if self.preprocessing.channels == 1:
            return self.inverse(self.preprocessing.normalise(pictures))
        return np.moveaxis(pictures, 3, 1).astype(np.float64)

    @staticmethod
    def to_pictures(planes: Vector) -> Array:
        """Turn planes into pictures N,H,W,3 within 0 to 1."""
        colours = np.repeat(planes, 3, axis=1) if planes.shape[1] == 1 else planes
        return np.ascontiguousarray(np.moveaxis(colours, 1, 3).clip(0, 1), dtype=np.float32)

    def _ordered(self, planes: NDArray[Any]) -> NDArray[Any]:
        return planes[:, ::-1] if self.preprocessing.channel_order == "BGR" else planes


class Parametrization:
    """Coordinates for planes; `bounds` keep them within 0 and 1 where the coordinates allow it."""

    bounds: Bounds = None

    def encode(self, planes: Vector) -> Vector:
        """Find the variable of given planes."""
        raise NotImplementedError

    def decode(self, z: Vector) -> Vector:
        """Make planes of a variable."""
        raise NotImplementedError

    def adjoint(self, z: Vector, dplanes: Vector) -> Vector:
        """Carry the gradient of the planes back to z."""
        raise NotImplementedError


class Pixels(Parametrization):
    """The variable is the picture itself, 0 to 1."""

    def __init__(self) -> None:
        self.bounds = (np.zeros((1, 1, 1, 1)), np.ones((1, 1, 1, 1)))

    def encode(self, planes: Vector) -> Vector:
        return planes

    def decode(self, z: Vector) -> Vector:
        return z

    def adjoint(self, z: Vector, dplanes: Vector) -> Vector:
        return dplanes


class NetworkInput(Parametrization):
    """The variable is what the network is fed, in its own units, where published learning rates are at home.

    Parameters
    ----------
    preprocessing : Preprocessing
    bounded : bool
        Keep it within what pixels from 0 to 1 become.
    """

    def __init__(self, preprocessing: Preprocessing, *, bounded: bool = True) -> None:
        self.feed = Feed(preprocessing)
        low, high = preprocessing.bounds()
        if bounded:
            self.bounds = (low.astype(np.float64), high.astype(np.float64))

    def encode(self, planes: Vector) -> Vector:
        return self.feed.forward(planes).astype(np.float64)

    def decode(self, z: Vector) -> Vector:
        return self.feed.inverse(z)

    def adjoint(self, z: Vector, dplanes: Vector) -> Vector:
        # d planes / d z is the inverse of the feed's slope, in the network's channel order.
        low, high = self.feed.preprocessing.bounds()
        return np.asarray(self.feed._ordered(dplanes) / (high - low))


class Fourier(Parametrization):
    """The variable is the spectrum of a picture in decorrelated colours, pressed into 0 to 1 by a sigmoid.

    Amplitudes are weighted by 1 / f^decay, as in natural pictures, so that a step of equal length in every
    coordinate moves broad shapes more than noise (lucid's ``rfft2`` parametrisation; its constants are kept).

    Parameters
    ----------
    size : (int, int)
        Height and width.
    channels : int
        3, in decorrelated colours; or 1.
    decay : float
    """

    #: lucid divides by this so that a standard deviation of 0.01 in z gives a grey, faintly uneven picture.
    DAMPING = 4.0

    def __init__(self, size: Tuple[int, int], channels: int = 3, *, decay: float = 1.0) -> None:
        height, width = size
        self.size = size
        frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
        lowest = 1.0 / max(size)
        self.scale = np.sqrt(height * width) / np.maximum(frequency, lowest) ** decay / self.DAMPING
        # A real picture has each inner column of the half spectrum twice: itself and its mirror image.
        self._copies = np.full(self.scale.shape[1], 2.0)
        self._copies[0] = 1.0
        if width % 2 == 0:
            self._copies[-1] = 1.0
        self.colours = COLOUR_BASIS if channels == 3 else np.eye(channels)
        self.shape = (channels, *self.scale.shape, 2)

    def encode(self, planes: Vector) -> Vector:
        inner = np.clip(planes, 1e-3, 1 - 1e-3)
        colours = np.log(inner / (1 - inner))
        components = np.einsum("dc,nchw->ndhw", np.linalg.inv(self.colours), colours)
        spectrum = np.fft.rfft2(components) / self.scale
        return np.stack([spectrum.real, spectrum.imag], axis=-1)

    def decode(self, z: Vector) -> Vector:
        spectrum = self.scale * (z[..., 0] + 1j * z[..., 1])
        components = np.fft.irfft2(spectrum, s=self.size)
        return _sigmoid(np.einsum("cd,ndhw->nchw", self.colours, components))

    def adjoint(self, z: Vector, dplanes: Vector) -> Vector:
        planes = self.decode(z)
        dcolours = dplanes * planes * (1 - planes)
        dcomponents = np.einsum("cd,nchw->ndhw", self.colours, dcolours)
        factor = self.scale * self._copies / (self.size[0] * self.size[1])
        spectrum = factor * np.fft.rfft2(dcomponents)
        return np.stack([spectrum.real, spectrum.imag], axis=-1)


def _sigmoid(x: Vector) -> Vector:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))
