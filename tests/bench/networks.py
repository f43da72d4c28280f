"""The networks of the comparison, as ONNX files with random weights: the shapes of the published ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

IMAGE_SIZE = 224
STYLE_SIZE = 512

Shape = Tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True)
class Network:
    """A network with its input size, its cost and its output's shape.

    Attributes
    ----------
    macs : int
        Multiply-adds of its convolutions and linear layers for one image, forward.
    output_shape : tuple of int
        Shape of the output without its batch axis.
    """

    name: str
    proto: ModelProto
    size: int
    macs: int
    output_shape: Tuple[int, ...]

    @property
    def classifies(self) -> bool:
        return len(self.output_shape) == 1

    def images(self, batch: int) -> NDArray[np.float32]:
        """Random inputs N,3,H,W with the variance of normalised photographs."""
        rng = np.random.default_rng(batch)
        return rng.standard_normal((batch, 3, self.size, self.size), dtype=np.float32)


class Builder:
    """Appends layers to a graph, and keeps the shape of each value."""

    def __init__(self, size: int, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: List[Any] = []
        self.weights: List[Any] = []
        self.macs = 0
        self.shapes: Dict[str, Tuple[int, ...]] = {"input": (3, size, size)}
        self.size = size

    def node(self, op: str, inputs: Sequence[str], shape: Tuple[int, ...], **attributes: Any) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name, **attributes))
        self.shapes[name] = shape
        return name

    def weight(self, array: NDArray[Any]) -> str:
        name = f"w{len(self.weights)}"
        data = np.ascontiguousarray(array, dtype=np.float32)
        self.weights.append(helper.make_tensor(name, TensorProto.FLOAT, data.shape, data.tobytes(), raw=True))
        return name

    def he(self, *shape: int) -> str:
        """Weights that keep the variance of activations behind a ReLU (He et al. 2015)."""
        deviation = np.sqrt(2.0 / np.prod(shape[1:]))
        return self.weight(self.rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation))

    def conv(
        self,
        x: str,
        out: int,
        kernel: int,
        stride: int = 1,
        *,
        pad: Union[int, None] = None,
        groups: int = 1,
        bias: bool = True,
    ) -> str:
        channels, height, width = self.shapes[x]
        pad = kernel // 2 if pad is None else pad
        rows, columns = ((extent + 2 * pad - kernel) // stride + 1 for extent in (height, width))
        inputs = [x, self.he(out, channels // groups, kernel, kernel)]
        if bias:
            inputs.append(self.weight(self.rng.standard_normal(out) * 0.01))
        self.macs += out * (channels // groups) * kernel * kernel * rows * columns
        return self.node(
            "Conv",
            inputs,
            (out, rows, columns),
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[pad] * 4,
            group=groups,
        )

    def norm(self, x: str, scale: float = 1.0) -> str:
        """Batch normalisation with the statistics that He weights give: mean about 0, variance about 1."""
        channels = self.shapes[x][0]
        draw = self.rng.uniform
        gain, bias = scale * draw(0.8, 1.2, channels), draw(-0.1, 0.1, channels)
        mean, variance = draw(-0.1, 0.1, channels), draw(0.8, 1.2, channels)
        inputs = [x, *(self.weight(array) for array in (gain, bias, mean, variance))]
        return self.node("BatchNormalization", inputs, self.shapes[x], epsilon=1e-5)

    def relu(self, x: str) -> str:
        return self.node("Relu", [x], self.shapes[x])

    def relu6(self, x: str) -> str:
        limits = [self.weight(np.array(limit)) for limit in (0.0, 6.0)]
        return self.node("Clip", [x, *limits], self.shapes[x])

    def max_pool(self, x: str, kernel: int, stride: int, *, pad: int = 0, ceil: bool = False) -> str:
        channels, height, width = self.shapes[x]
        up = stride - 1 if ceil else 0
        rows, columns = ((extent + 2 * pad - kernel + up) // stride + 1 for extent in (height, width))
        return self.node(
            "MaxPool",
            [x],
            (channels, rows, columns),
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[pad] * 4,
            ceil_mode=int(ceil),
        )

    def flat_mean(self, x: str) -> str:
        channels = self.shapes[x][0]
        return self.flatten(self.node("GlobalAveragePool", [x], (channels, 1, 1)))

    def flatten(self, x: str) -> str:
        return self.node("Flatten", [x], (int(np.prod(self.shapes[x])),))

    def linear(self, x: str, out: int) -> str:
        (features,) = self.shapes[x]
        self.macs += features * out
        inputs = [x, self.he(out, features), self.weight(np.zeros(out))]
        return self.node("Gemm", inputs, (out,), transB=1)

    def add(self, a: str, b: str) -> str:
        return self.node("Add", [a, b], self.shapes[a])

    def concat(self, a: str, b: str) -> str:
        (left, rows, columns), right = self.shapes[a], self.shapes[b][0]
        return self.node("Concat", [a, b], (left + right, rows, columns), axis=1)

    def finish(self, name: str, output: str) -> Network:
        image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, self.size, self.size])
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, name, [image], [result], self.weights)
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        return Network(name, proto, self.size, self.macs, self.shapes[output])


def _vgg_features(b: Builder, blocks: Sequence[int]) -> str:
    """Simonyan & Zisserman 2014, table 1, columns D and E."""
    x = "input"
    for convolutions, channels in zip(blocks, (64, 128, 256, 512, 512)):
        for _ in range(convolutions):
            x = b.relu(b.conv(x, channels, 3))
        x = b.max_pool(x, 2, 2)
    return x


def vgg16() -> Network:
    b = Builder(IMAGE_SIZE)
    x = b.flatten(_vgg_features(b, (2, 2, 3, 3, 3)))
    x = b.relu(b.linear(x, 4096))
    x = b.relu(b.linear(x, 4096))
    return b.finish("vgg16", b.linear(x, 1000))


def vgg19_features() -> Network:
    b = Builder(STYLE_SIZE)
    return b.finish("vgg19_features", _vgg_features(b, (2, 2, 4, 4, 4)))


def squeezenet() -> Network:
    """SqueezeNet 1.1: Iandola et al. 2016, with the pooling moved forward in the authors' repository."""
    b = Builder(IMAGE_SIZE)

    def fire(x: str, squeeze: int, expand: int) -> str:
        x = b.relu(b.conv(x, squeeze, 1))
        return b.concat(b.relu(b.conv(x, expand, 1)), b.relu(b.conv(x, expand, 3)))

    x = b.max_pool(b.relu(b.conv("input", 64, 3, 2, pad=0)), 3, 2, ceil=True)
    x = b.max_pool(fire(fire(x, 16, 64), 16, 64), 3, 2, ceil=True)
    x = b.max_pool(fire(fire(x, 32, 128), 32, 128), 3, 2, ceil=True)
    for squeeze, expand in ((48, 192), (48, 192), (64, 256), (64, 256)):
        x = fire(x, squeeze, expand)
    return b.finish("squeezenet", b.flat_mean(b.relu(b.conv(x, 1000, 1))))


def _resnet(
    b: Builder, block: Callable[[Builder, str, int, int], str], blocks: Sequence[int], expansion: int
) -> str:
    """He et al. 2015, table 1, with the stride in the 3x3 convolution (ResNet 1.5)."""
    x = b.max_pool(b.relu(b.norm(b.conv("input", 64, 7, 2, bias=False))), 3, 2, pad=1)
    for stage, (count, channels) in enumerate(zip(blocks, (64, 128, 256, 512))):
        for i in range(count):
            stride = 2 if stage > 0 and i == 0 else 1
            y = block(b, x, channels, stride)
            if b.shapes[y] != b.shapes[x]:
                x = b.norm(b.conv(x, channels * expansion, 1, stride, bias=False))
            x = b.relu(b.add(y, x))
    return b.linear(b.flat_mean(x), 1000)


# _BRANCH damps the residual branch, so that sums over many blocks keep a variance of about 1.
_BRANCH = 0.5


def _basic(b: Builder, x: str, channels: int, stride: int) -> str:
    x = b.relu(b.norm(b.conv(x, channels, 3, stride, bias=False)))
    return b.norm(b.conv(x, channels, 3, bias=False), _BRANCH)


def _bottleneck(b: Builder, x: str, channels: int, stride: int) -> str:
    x = b.relu(b.norm(b.conv(x, channels, 1, bias=False)))
    x = b.relu(b.norm(b.conv(x, channels, 3, stride, bias=False)))
    return b.norm(b.conv(x, 4 * channels, 1, bias=False), _BRANCH)


def resnet18() -> Network:
    b = Builder(IMAGE_SIZE)
    return b.finish("resnet18", _resnet(b, _basic, (2, 2, 2, 2), 1))


def resnet50() -> Network:
    b = Builder(IMAGE_SIZE)
    return b.finish("resnet50", _resnet(b, _bottleneck, (3, 4, 6, 3), 4))


def mobilenetv2() -> Network:
    """Sandler et al. 2018, table 2."""
    b = Builder(IMAGE_SIZE)
    x = b.relu6(b.norm(b.conv("input", 32, 3, 2, bias=False)))
    for expansion, channels, count, first_stride in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for i in range(count):
            x = _inverted_residual(b, x, expansion, channels, first_stride if i == 0 else 1)
    x = b.relu6(b.norm(b.conv(x, 1280, 1, bias=False)))
    return b.finish("mobilenetv2", b.linear(b.flat_mean(x), 1000))


def _inverted_residual(b: Builder, x: str, expansion: int, channels: int, stride: int) -> str:
    hidden = b.shapes[x][0] * expansion
    y = x if expansion == 1 else b.relu6(b.norm(b.conv(x, hidden, 1, bias=False)))
    y = b.relu6(b.norm(b.conv(y, hidden, 3, stride, groups=hidden, bias=False)))
    y = b.norm(b.conv(y, channels, 1, bias=False), _BRANCH)
    return b.add(x, y) if b.shapes[x] == b.shapes[y] else y


NETWORKS: Dict[str, Callable[[], Network]] = {
    make.__name__: make for make in (vgg16, vgg19_features, resnet18, squeezenet, resnet50, mobilenetv2)
}
