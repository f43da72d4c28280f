"""ONNX's own tests, for each model whose operators cnnviz claims.

A claimed case that cannot pass is matched by a row of EXCLUDED. The excluded cases run as well, and one that
passes is an error, so the table cannot grow stale. `python tests/lowering/test_backend_node.py` counts them.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import unittest
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, Iterable

import onnx
from onnx import TensorProto, helper
from onnx.backend.test import BackendTest
from onnx.backend.test.loader import load_model_tests
from onnx_backend import CnnvizBackend, supports

EXCLUDED = {
    r"(FLOAT8|FLOAT4|FLOAT6|INT4|INT2)\w*_cpu": "element types of less than eight bits, and float8",
    r"test_(de)?quantizelinear_(u?int[24]|float4|e4m3|e5m2)": "the same of quantisation",
    r"test_nllloss_NCd1d2d3d4d5_(mean_weight|none_no_weight)_": "activations gathered from over 4096 places",
    r"test_operator_add(constant|_broadcast|_size1_(right|singleton)_broadcast)_": "beyond float32",
    r"test_batchnorm_\w*_training_mode": "statistics of the batch belong to training",
    r"test_training_dropout": "dropping belongs to training",
    r"test_dropout_default_mask": "the mask is an output that only training reads",
    r"test_maxpool_with_argmax_2d_precomputed_strides": "indices in the order of columns",
    r"test_equal_string|test_cast(like)?_\w*STRING": "strings",
    r"test_(identity|if|loop1[36])_(seq|opt)": "sequences and optionals",
    r"test_(sequence_(map|insert)|split_to_sequence)_": "sequences as inputs and outputs of a network",
    r"test_range_\w*float\w*_expanded": "the number of iterations is an input",
    r"test_linear_attention_\w*expanded": "a Scan of a value whose length is not declared",
    r"test_scan_sum": "the Scan of opset 8, which has a batch",
    r"test_resize_tf_crop_and_resize": "cropping while resizing",
    r"test_rotary_embedding_((no_position_ids_)?(interleaved_)?|3d_input_)expanded": "empty slices",
    r"test_slice_start_out_of_bounds|test_causal_conv_with_state_kernel_size_one_": "empty slices",
    r"test_reduce_(max|min)_empty_set(_bool)?_cpu|test_sequence_model8": "empty inputs",
    r"test_einsum_batch_diagonal": "a label twice in one term",
    r"test_shape_start_greater_than_end": "empty outputs",
}
if helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16).name != "bfloat16":
    EXCLUDED[r"BFLOAT16"] = "this version of onnx hands bfloat16 out as integers"
if tuple(map(int, onnx.__version__.split(".")[:2])) < (1, 18):
    EXCLUDED[r"test_qlinearmatmul_[23]D_int8_"] = "data of this version wrap around where numbers saturate"
    EXCLUDED[r"test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True"] = (
        "its data divide by padding cut off"
    )

Case = Callable[[unittest.TestCase], None]


def claimed() -> Iterable[str]:
    """Names of the cases that cnnviz claims; the real networks come last in the suite and are all claimed."""
    for kind in ("node", "simple", "pytorch-converted", "pytorch-operator"):
        for case in load_model_tests(kind=kind):
            if supports(case.model or onnx.load(str(Path(case.model_dir) / "model.onnx"))):
                yield case.name
    yield from (case.name for case in load_model_tests(kind="real"))


def suite() -> Dict[str, Any]:
    """The suite's test classes, with the claimed cases only."""
    os.environ.setdefault("ONNX_HOME", tempfile.mkdtemp(prefix="onnx-home-"))  # the suite writes data there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # generating data overflows and divides by zero on purpose
        names = "|".join(re.escape(name) for name in claimed())
        tests = BackendTest(CnnvizBackend, __name__)
    classes: Dict[str, Any] = tests.include(f"^({names})_cpu$").test_cases
    for group in classes.values():
        for name, function in list(vars(group).items()):
            if getattr(function, "__unittest_skip__", False):
                delattr(group, name)
    return classes


def take_excluded(classes: Dict[str, Any]) -> Dict[str, Case]:
    """Remove the excluded cases from their classes and return them."""
    pattern = re.compile("|".join(EXCLUDED))
    excluded: Dict[str, Case] = {}
    for group in classes.values():
        for name in [name for name in vars(group) if pattern.search(name)]:
            excluded[name] = getattr(group, name)
            delattr(group, name)
    return excluded


CLASSES = suite()
FAILING = take_excluded(CLASSES)
globals().update(CLASSES)


def passes(case: Case) -> bool:
    try:
        case(unittest.TestCase())
    except Exception:
        return False
    return True


def test_excluded_cases_do_fail() -> None:
    assert FAILING
    assert [name for name, case in FAILING.items() if passes(case)] == []


def main() -> None:
    cases = [getattr(group, name) for group in CLASSES.values() for name in vars(group) if "test_" in name]
    passed = sum(passes(case) for case in cases)
    sys.stdout.write(f"{passed} of {len(cases)} pass; {len(FAILING)} more are excluded:\n")
    for pattern, reason in EXCLUDED.items():
        number = sum(bool(re.search(pattern, name)) for name in FAILING)
        sys.stdout.write(f"{number:5d}  {reason}: {pattern}\n")


if __name__ == "__main__":
    main()
