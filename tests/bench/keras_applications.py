"""Every family of keras.applications, through `cnnviz.from_keras` and against Keras itself.

    KERAS_BACKEND=tensorflow python tests/bench/keras_applications.py run --out keras.jsonl
    KERAS_BACKEND=torch python tests/bench/keras_applications.py run --out keras.jsonl
    python tests/bench/keras_applications.py table keras.jsonl > table.md

`run` measures each network in a process of its own, with random weights and random statistics of batch
normalisation, and appends a line for each to the file; networks that the file has already are left out.
`table` writes the last line of each network as Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

#: Family, network, the side of its pictures (the smallest that it takes), and its maker's other options.
NETWORKS: List[Tuple[str, str, int, Dict[str, Any]]] = [
    ("MobileNet", "MobileNet", 32, {}),
    ("MobileNetV2", "MobileNetV2", 32, {}),
    ("MobileNetV3", "MobileNetV3Small", 32, {}),
    ("MobileNetV3", "MobileNetV3Large", 32, {}),
    ("VGG", "VGG16", 32, {}),
    ("VGG", "VGG19", 32, {}),
    ("ResNet", "ResNet50", 32, {}),
    ("ResNet", "ResNet101", 32, {}),
    ("ResNetV2", "ResNet50V2", 32, {}),
    ("DenseNet", "DenseNet121", 32, {}),
    ("EfficientNet", "EfficientNetB0", 32, {}),
    ("EfficientNet", "EfficientNetB1", 32, {}),
    ("EfficientNetV2", "EfficientNetV2B0", 32, {}),
    ("EfficientNetV2", "EfficientNetV2S", 32, {}),
    ("ConvNeXt", "ConvNeXtTiny", 32, {}),
    ("Xception", "Xception", 71, {}),
    ("Inception", "InceptionV3", 75, {}),
    ("Inception", "InceptionResNetV2", 75, {}),
    ("NASNet", "NASNetMobile", 32, {}),
]
LOGITS, COSINE = 1e-4, 0.9999

Record = Dict[str, Any]


def peak() -> float:
    """The largest memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def made(keras: Any, name: str, side: int, options: Dict[str, Any]) -> Any:
    """A network with random weights, whose normalisations scale and shift."""
    keras.utils.set_random_seed(0)
    maker = getattr(keras.applications, name)
    model = maker(weights=None, input_shape=(side, side, 3), classifier_activation=None, **options)
    rng = np.random.default_rng(0)
    ranges = {
        "gamma": (0.8, 1.2),
        "beta": (-0.1, 0.1),
        "moving_mean": (-0.1, 0.1),
        "moving_variance": (0.8, 1.2),
    }
    for variable in model.variables:
        if variable.name in ranges:
            variable.assign(rng.uniform(*ranges[variable.name], tuple(variable.shape)).astype(np.float32))
    return model


def gradients(keras: Any, model: Any, x: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Keras' own gradient of one class for each picture, by the automatic differentiation of its backend."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        fed = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(fed)
            score = tf.reduce_sum(tf.gather(model(fed, training=False), classes, axis=1, batch_dims=1))
        return np.asarray(tape.gradient(score, fed))
    import torch

    fed = torch.from_numpy(x).requires_grad_()
    model(fed, training=False)[torch.arange(len(x)), torch.from_numpy(classes)].sum().backward()
    return fed.grad.numpy()


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """The smallest cosine between the gradients of one picture."""
    a, b = (np.asarray(one, np.float64).reshape(len(one), -1) for one in (a, b))
    return float(((a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))).min())


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference relative to the largest number of b."""
    return float(np.abs(a.astype(np.float64) - b).max() / np.abs(b).max())


def measured(name: str, side: int, options: Dict[str, Any]) -> Record:
    """Convert a network and compare it with Keras."""
    import keras

    import cnnviz

    model = made(keras, name, side, options)
    before = peak()
    wall, cpu = time.perf_counter(), time.process_time()
    net = cnnviz.from_keras(model)
    found: Record = {
        "seconds": round(time.perf_counter() - wall, 1),
        "cpu": round(time.process_time() - cpu, 1),
        "before": round(before, 2),
        "peak": round(peak(), 2),
        "weights": round(4e-9 * model.count_params(), 3),
        "preprocessing": net.preprocessing.name,
        "free_size": not net.graph.fixed,
        "nodes": len(net.graph.nodes),
    }
    low, high = net.preprocessing.bounds()
    noise = np.random.default_rng(1).random((3, 3, side, side), dtype=np.float32)
    x = low + noise * (high - low)
    last = np.ascontiguousarray(np.moveaxis(x, 1, 3))
    expected = np.asarray(keras.ops.convert_to_numpy(model(last, training=False)))
    logits, classes = net.forward(x), expected.argmax(axis=1)
    alone = [net.forward(x[i : i + 1]) for i in range(3)]
    slope = net.gradient(x, [int(c) for c in classes]).gradients["input"]
    alone_slope = [net.gradient(x[i : i + 1], int(classes[i])).gradients["input"] for i in range(3)]
    theirs = np.moveaxis(gradients(keras, model, last, classes), 3, 1)
    same = np.array_equal(logits, np.concatenate(alone)) and np.array_equal(
        slope, np.concatenate(alone_slope)
    )
    found.update(
        one=distance(alone[0], expected[:1]),
        three=distance(logits, expected),
        bits=bool(same),
        cosine=cosine(slope, theirs),
        result="exact",
    )
    if max(found["one"], found["three"]) > LOGITS or found["cosine"] < COSINE:
        found.update(judged(keras, model, last, classes, (logits, slope), (expected, theirs)))
    if not same:
        found.update(result="differs", reason="a batch of three has other bits than one by one")
    return found


def judged(
    keras: Any, model: Any, x: np.ndarray, classes: np.ndarray, ours: Sequence[Any], theirs: Sequence[Any]
) -> Record:
    """What float64 says where two float32 programs differ: the errors of both."""
    from cnnviz.loading.keras_function import computing_in

    with computing_in(keras, model, "float64"):
        exact = np.asarray(keras.ops.convert_to_numpy(model(x, training=False)))
        slope = np.moveaxis(gradients(keras, model, x, classes), 3, 1)
    errors = [distance(ours[0], exact), distance(theirs[0], exact)]
    angles = [1 - cosine(ours[1], slope), 1 - cosine(theirs[1], slope)]
    right = errors[0] <= max(LOGITS, 4 * errors[1]) and angles[0] <= max(1 - COSINE, 4 * angles[1])
    reason = (
        f"float64: logits {errors[0]:.1e} (Keras {errors[1]:.1e}), "
        f"1 - cosine {angles[0]:.1e} (Keras {angles[1]:.1e})"
    )
    return {"result": "float64" if right else "differs", "reason": reason}


def one(entry: Sequence[Any]) -> int:
    """Measure one network, and print its record as the last line."""
    _, name, side, options = entry
    try:
        found = measured(name, side, options)
    except Exception as error:  # whatever Keras, its exporters or cnnviz raise
        found = {"result": "fails", "reason": f"{type(error).__name__}: {error}".replace("\n", " ")[:400]}
    print("\n" + json.dumps(found))
    return 0


def run(options: argparse.Namespace) -> int:
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    kept = {"OMP_NUM_THREADS": "1", "CNNVIZ_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment = {**os.environ, **kept, "KERAS_BACKEND": backend}
    done = read(options.out)
    for index, (family, name, side, extra) in enumerate(NETWORKS):
        if f"{backend} {name}" in done or (options.only and name not in options.only):
            continue
        command = [sys.executable, __file__, "one", str(index)]
        start = time.perf_counter()
        try:
            out = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=options.limit
            )
            lines = out.stdout.splitlines()
            found = json.loads(lines[-1]) if lines else {"result": "crash", "reason": out.stderr[-300:]}
        except subprocess.TimeoutExpired:
            found = {"result": "timeout", "reason": f"more than {options.limit} s"}
        record = {"backend": backend, "family": family, "name": name, "side": side, "options": extra, **found}
        with open(options.out, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        print(f"{backend} {name}: {record['result']} ({time.perf_counter() - start:.0f} s)", flush=True)
    return 0


def read(path: Path) -> Dict[str, Record]:
    """The last record of each network and backend in a file of JSON lines."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    records = [json.loads(line) for line in lines]
    return {f"{record['backend']} {record['name']}": record for record in records}


def row(record: Record) -> str:
    head = f"| {record['name']} | {record['side']} | {record['backend']} | {record['result']} |"
    if "cosine" not in record:
        return f"{head} | | | | | | {record['reason']} |"
    memory = f"{record['before']:.1f} → {record['peak']:.1f}"
    bits = "yes" if record["bits"] else "no"
    errors = [f"{number:.0e}" for number in (record["one"], record["three"], 1 - record["cosine"])]
    numbers = [*errors[:2], bits, errors[2], f"{record['cpu']:.0f}", memory]
    return f"{head} {' | '.join(numbers)} | {record.get('reason', '')} |"


def table(path: Path) -> str:
    """The records as Markdown, in the order of the list."""
    heads = (
        "network",
        "side",
        "backend",
        "result",
        "logits, 1",
        "logits, 3",
        "same bits",
        "1 - cosine",
        "CPU s",
        "GB before → peak",
        "note",
    )
    found = read(path)
    keys = [f"{backend} {name}" for _, name, _, _ in NETWORKS for backend in ("tensorflow", "torch")]
    rows = [row(found[key]) for key in keys if key in found]
    return "\n".join([f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *rows]) + "\n"


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run", help="measure the networks of the list")
    runner.add_argument("--out", type=Path, required=True, help="file of JSON lines to append to")
    runner.add_argument("--only", nargs="*", help="names of networks")
    runner.add_argument("--limit", type=int, default=900, help="seconds for a network")
    single = commands.add_parser("one", help="measure one network of the list")
    single.add_argument("index", type=int)
    writer = commands.add_parser("table", help="write the results as Markdown")
    writer.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    if options.command == "run":
        return run(options)
    if options.command == "one":
        return one(NETWORKS[options.index])
    print(table(options.file), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
