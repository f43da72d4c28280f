"""The programs that are compared, behind one interface: load a file, run forward, differentiate."""

from __future__ import annotations

from typing import Any, Dict, Optional

import numpy as np
from networks import Network
from numpy.typing import NDArray

Array = NDArray[np.float32]

TARGET = 7  # the class whose score is differentiated


class Contender:
    """A network in one program, ready to run.

    `forward` returns the output and `gradient` the gradient with respect to the images: of the score of a
    class, or of the sum of the output for a network that does not classify.
    """

    def forward(self, x: Any) -> Any:
        raise NotImplementedError

    def gradient(self, x: Any) -> Any:
        raise NotImplementedError

    def feed(self, x: Array) -> Any:
        """Images in the form that this program takes; not measured."""
        return x

    def numpy(self, result: Any) -> Array:
        """A result as an array N,C,H,W or N,K."""
        return np.asarray(result)


class Ours(Contender):
    def __init__(self, network: Network, **options: Any) -> None:
        import cnnviz

        self.model = cnnviz.load(network.proto, preprocessing="imagenet", **options)
        output = self.model.graph.outputs[0].name
        ones = np.ones((1, *network.output_shape), np.float32)
        self.objective: Any = TARGET if network.classifies else {output: ones}

    def forward(self, x: Array) -> Array:
        return self.model.forward(x)  # type: ignore[no-any-return]

    def gradient(self, x: Array) -> Array:
        return self.model.gradient(x, self.objective).gradients["input"]


class Torch(Contender):
    """PyTorch, eager or compiled, in one of its two layouts."""

    def __init__(self, network: Network, *, channels_last: bool, compiled: bool = False) -> None:
        import torch
        from onnx_to_torch import OnnxModule

        self.torch = torch
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.module: Any = OnnxModule(network.proto).to(memory_format=self.layout)
        self.run = torch.compile(self.module) if compiled else self.module
        self.classifies = network.classifies

    def feed(self, x: Array) -> Any:
        return self.torch.from_numpy(x).contiguous(memory_format=self.layout)

    def forward(self, x: Any) -> Any:
        with self.torch.inference_mode():
            return self.run(x)

    def gradient(self, x: Any) -> Any:
        leaf = x.detach().requires_grad_()
        output = self.run(leaf)
        score = (output[:, TARGET] if self.classifies else output).sum()
        (dx,) = self.torch.autograd.grad(score, leaf)
        return dx

    def numpy(self, result: Any) -> Array:
        return np.ascontiguousarray(result.detach().numpy())


class OnnxRuntime(Contender):
    """ONNX Runtime, forward only."""

    def __init__(self, network: Network, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(network.proto.SerializeToString(), options, providers)

    def forward(self, x: Array) -> Array:
        return self.session.run(None, {"input": x})[0]  # type: ignore[no-any-return]


def make(name: str, network: Network, threads: int) -> Contender:
    if name == "cnnviz":
        return Ours(network)
    if name == UNPACKED:
        return Ours(network, packed_nbytes=0)
    if name == "onnxruntime":
        return OnnxRuntime(network, threads)
    return Torch(network, channels_last="channels_last" in name, compiled="compile" in name)


UNPACKED = "cnnviz unpacked"
TORCH = ("torch", "torch channels_last")
COMPILED = ("torch compile", "torch compile channels_last")


def relative_error(found: Array, expected: Array) -> float:
    """Relative L2 distance: small when two programs decide a few ReLUs differently, large for an error."""
    difference = np.linalg.norm((found - expected).astype(np.float64).ravel())
    return float(difference / np.linalg.norm(expected.astype(np.float64).ravel()))


def environment(threads: int) -> Dict[str, str]:
    """Environment variables that set the number of threads of every program in a measuring process."""
    programs = ("OMP", "OPENBLAS", "MKL", "CNNVIZ")
    return {f"{program}_NUM_THREADS": str(threads) for program in programs}


def best_of(seconds: Dict[str, float]) -> Optional[str]:
    """The fastest of PyTorch's settings."""
    rivals = {name: value for name, value in seconds.items() if name.startswith("torch")}
    return min(rivals, key=lambda name: rivals[name]) if rivals else None
