"""Coordinates of a picture under optimisation: pixels, the network's input, or frequencies.

A parametrisation maps the variable z that the loop moves to *planes*: pictures N,C,H,W from 0 to 1, RGB (or
one channel of grey for a network that takes grey), and carries gradients back. The steepest way up in one
set of coordinates is not the steepest in another, which is why the same objective gives noise in pixels and
shapes in frequencies (Olah et al. 2017, "Preconditioning").
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.pictures.arithmetic import Array, Bounds, single
from cnnviz.pictures.preprocessing import Preprocessing

#: COLOUR_SVD_SQRT holds the principal directions of ImageNet's colours, each scaled by the square root of
#: its variance (lucid); rows are R, G, B. COLOUR_BASIS is divided by the largest column norm, so that no
#: component is amplified.
COLOUR_SVD_SQRT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
COLOUR_BASIS = COLOUR_SVD_SQRT / np.sqrt((COLOUR_SVD_SQRT**2).sum(axis=0)).max()


class Parametrization:
    """Coordinates for planes; `bounds` keep them within 0 and 1 where the coordinates allow it."""

    bounds: Bounds = None

    def encode(self, planes: NDArray[Any]) -> Array:
        """Return the variable whose planes are given."""
        raise NotImplementedError

    def decode(self, z: NDArray[Any]) -> Array:
        """Return the planes of a variable."""
        raise NotImplementedError

    def adjoint(self, z: NDArray[Any], dplanes: NDArray[Any], planes: Optional[Array] = None) -> Array:
        """Carry the gradient of the planes back to z; `planes` is decode(z), if the caller has it already."""
        raise NotImplementedError


class Pixels(Parametrization):
    """The variable is the picture itself, 0 to 1."""

    def __init__(self) -> None:
        self.bounds = (np.zeros((1, 1, 1, 1), np.float32), np.ones((1, 1, 1, 1), np.float32))

    def encode(self, planes: NDArray[Any]) -> Array:
        return single(planes)

    def decode(self, z: NDArray[Any]) -> Array:
        return single(z)

    def adjoint(self, z: NDArray[Any], dplanes: NDArray[Any], planes: Optional[Array] = None) -> Array:
        return single(dplanes)


class NetworkInput(Parametrization):
    """The variable is the network's input, in the units that many published learning rates refer to.

    Parameters
    ----------
    preprocessing : Preprocessing
    bounded : bool
        Keep the variable within the range that pixels from 0 to 1 are mapped to.
    """

    def __init__(self, preprocessing: Preprocessing, *, bounded: bool = True) -> None:
        self.feed = preprocessing.feed
        if bounded:
            self.bounds = preprocessing.bounds()

    def encode(self, planes: NDArray[Any]) -> Array:
        return self.feed.forward(planes)

    def decode(self, z: NDArray[Any]) -> Array:
        return self.feed.inverse(z)

    def adjoint(self, z: NDArray[Any], dplanes: NDArray[Any], planes: Optional[Array] = None) -> Array:
        return self.feed.inverse_adjoint(dplanes)


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

    #: DAMPING is lucid's divisor: a standard deviation of 0.01 in z gives a grey, faintly uneven picture.
    DAMPING = 4.0

    def __init__(self, size: Tuple[int, int], channels: int = 3, *, decay: float = 1.0) -> None:
        height, width = size
        self.size = size
        frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
        lowest = 1.0 / max(size)
        scale = np.sqrt(height * width) / np.maximum(frequency, lowest) ** decay / self.DAMPING
        self.scale = single(scale)
        # A real picture has each inner column of the half spectrum twice: itself and its mirror image.
        copies = np.full(scale.shape[1], 2.0)
        copies[0] = 1.0
        if width % 2 == 0:
            copies[-1] = 1.0
        self._factor = single(scale * copies / (height * width))
        self.colours = single(COLOUR_BASIS if channels == 3 else np.eye(channels))
        self.shape = (channels, *self.scale.shape, 2)

    def encode(self, planes: NDArray[Any]) -> Array:
        inner = np.clip(planes, 1e-3, 1 - 1e-3)
        colours = np.log(inner / (1 - inner))
        components = np.einsum("dc,nchw->ndhw", np.linalg.inv(self.colours), colours)
        spectrum = np.fft.rfft2(components) / self.scale
        return single(np.stack([spectrum.real, spectrum.imag], axis=-1))

    def decode(self, z: NDArray[Any]) -> Array:
        from scipy import fft

        spectrum = single(z).view(np.complex64)[..., 0] * self.scale
        components = fft.irfft2(spectrum, s=self.size, overwrite_x=True)
        return _sigmoid(_mixed(self.colours, components))

    def adjoint(self, z: NDArray[Any], dplanes: NDArray[Any], planes: Optional[Array] = None) -> Array:
        from scipy import fft

        planes = self.decode(z) if planes is None else planes
        slope = 1 - planes
        slope *= planes
        slope *= dplanes
        spectrum = fft.rfft2(_mixed(self.colours.T, slope))
        spectrum *= self._factor
        return np.asarray(spectrum[..., None].view(np.float32))


def _mixed(colours: Array, planes: Array) -> Array:
    """Linear combinations of the channels of N,C,H,W, each in one fixed order."""
    mixed = np.empty((len(planes), len(colours), *planes.shape[2:]), np.float32)
    part = np.empty_like(mixed[:, 0])
    for out, row in enumerate(colours):
        total = mixed[:, out]
        np.multiply(planes[:, 0], row[0], out=total)
        for c in range(1, len(row)):
            total += np.multiply(planes[:, c], row[c], out=part)
    return mixed


def _sigmoid(x: Array) -> Array:
    """The logistic function, in place; NumPy vectorises exp, but not tanh."""
    np.negative(x, out=x)
    with np.errstate(over="ignore"):  # exp may overflow to infinity, whose reciprocal is the correct 0
        np.exp(x, out=x)
    x += np.float32(1)
    return np.divide(np.float32(1), x, out=x)
