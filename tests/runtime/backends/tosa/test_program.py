"""Programs that are refused when they are opened, and what a refusal says."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_lstm_runtime import BackendError, BundleError
from edge_lstm_runtime.backends.tosa.program import Program, pack, unpack

NEGATED = {
    "inputs": ["x"],
    "outputs": ["y"],
    "tensors": {
        "x": {"shape": [2], "dtype": "int16"},
        "zero": {"shape": [1], "dtype": "int16"},
        "y": {"shape": [2], "dtype": "int16"},
    },
    "operators": [
        {"op": "NEGATE", "inputs": ["x", "zero", "zero"], "outputs": ["y"], "attributes": {}}
    ],
}
CONSTANTS = {"zero": np.zeros(1, np.int16)}


def test_a_program_runs() -> None:
    (y,) = Program(NEGATED, CONSTANTS).run([np.array([[-32768, 5], [0, 32767]])])
    assert y.tolist() == [[32767, -5], [0, -32767]]


def test_a_program_comes_back_from_its_bytes() -> None:
    program, constants = unpack(pack(NEGATED, CONSTANTS), "a.tosa")
    assert program == NEGATED
    assert list(constants) == ["zero"]
    assert constants["zero"].dtype == np.int16


@pytest.mark.parametrize("data", [b"", b"PK", pack({}, {})[:60]])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"^a\.tosa "):
        unpack(data, "a.tosa")


def operator(**changed: Any) -> Callable[[Any], None]:
    return lambda program: program["operators"][0].update(changed)


def tensor(name: str, **changed: Any) -> Callable[[Any], None]:
    return lambda program: program["tensors"][name].update(changed)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (operator(op="FFT2D"), r"operator 0 is FFT2D, which this version doesn't know; it knows"),
        (operator(inputs=["x", "zero"]), "'y': it has 2 inputs; expected 3"),
        (operator(inputs=["x", "zero", "one"]), "'y': its input 'one' is not there yet"),
        (operator(inputs=["x", "zero", "x"]), "'y': its input 2 is not constant"),
        (operator(inputs="x"), "'x' is no list of names"),
        (operator(outputs=["x"]), "'x': its result is there already"),
        (operator(outputs=[]), "malformed: not enough values"),
        (tensor("y", dtype="int8"), "its types are int16>int8; expected one of"),
        (tensor("y", dtype="fp32"), "'y' is 'fp32'; expected one of bool, int8"),
        (tensor("y", shape=[3]), r"its result has the shape \(2,\), and \(3,\) is declared"),
        (tensor("y", shape=[2**40]), r"'y' has the shape \[1099511627776\]"),
        (tensor("x", shape=[0]), r"'x' has the shape \[0\]"),
        (tensor("zero", shape=[2]), r"the constant 'zero' is int16\(1,\); expected int16\(2,\)"),
        (lambda program: program.pop("operators"), "'operators' is missing"),
        (lambda program: program.update(tensors=[]), "malformed"),
        (lambda program: program.update(inputs=["x", "x"]), "'x' is a constant, or stands there"),
        (lambda program: program.update(outputs=["zero"]), "the output 'zero' is a constant"),
        (lambda program: program.update(outputs=["z"]), "'z' is missing"),
    ],
)
def test_a_program_that_cannot_be_followed_is_refused(
    change: Callable[[Any], None], words: str
) -> None:
    program = copy.deepcopy(NEGATED)
    change(program)
    with pytest.raises(BundleError, match=words) as found:
        Program(program, CONSTANTS, "a.tosa")
    assert str(found.value).startswith("a.tosa")
    assert "\n" not in str(found.value)


def test_inputs_of_unequal_ranks_are_refused() -> None:
    kinds = {"x": [2, 3], "a": [3], "y": [2, 3]}
    program = {
        "inputs": ["x", "a"],
        "outputs": ["y"],
        "tensors": {name: {"shape": shape, "dtype": "int32"} for name, shape in kinds.items()},
        "operators": [{"op": "ADD", "inputs": ["x", "a"], "outputs": ["y"], "attributes": {}}],
    }
    with pytest.raises(BundleError, match=r"ADD 'y': its inputs are .* of unequal ranks"):
        Program(program, {})


def rescaled(multiplier: int, shift: int, **attributes: Any) -> Program:
    kinds = {"x": "int32", "m": "int32", "s": "int8", "a": "int32", "b": "int8", "y": "int8"}
    program = {
        "inputs": ["x"],
        "outputs": ["y"],
        "tensors": {name: {"shape": [1], "dtype": kind} for name, kind in kinds.items()},
        "operators": [
            {
                "op": "RESCALE",
                "inputs": ["x", "m", "s", "a", "b"],
                "outputs": ["y"],
                "attributes": {
                    "scale32": True, "rounding_mode": "SINGLE_ROUND", "per_channel": False,
                    "input_unsigned": False, "output_unsigned": False, **attributes,
                },
            }
        ],
    }  # fmt: skip
    constants: dict[str, NDArray[Any]] = {
        "m": np.array([multiplier], np.int32),
        "s": np.array([shift], np.int8),
        "a": np.zeros(1, np.int32),
        "b": np.array([3], np.int8),
    }
    return Program(program, constants)


def test_a_scale_rounds_a_half_up_and_ends_at_the_type() -> None:
    (y,) = rescaled(2**30, 31).run([np.array([[v] for v in (-3, -1, 1, 3, 2**20, -(2**20))])])
    # -1.5, -0.5, 0.5 and 1.5, each to the next above, and 3 is added.
    assert y[:, 0].tolist() == [2, 3, 4, 5, 127, -128]


def test_two_roundings_are_not_one() -> None:
    program = rescaled(2**30, 32, rounding_mode="DOUBLE_ROUND")
    (y,) = program.run([np.array([[-2], [-6], [1], [2]])])
    # (x 2^30 + 2^31 +- 2^30) >> 32, by hand: -1/4, -5/4, 1 and 5/4 are rounded down.
    assert (y[:, 0] - 3).tolist() == [-1, -2, 1, 1]


@pytest.mark.parametrize(
    ("multiplier", "shift", "attributes", "words"),
    [
        (-1, 31, {}, "it has a negative multiplier, or a shift that is not 2 to 62"),
        (1, 63, {}, "a shift that is not 2 to 62"),
        (1, 1, {}, "a shift that is not 2 to 62"),
        (1, 31, {"rounding_mode": "UP"}, "its rounding_mode is 'UP'; expected one of SINGLE_ROUND"),
        (1, 31, {"scale32": "yes"}, "its attribute 'scale32' is 'yes'; expected an integer"),
        (1, 31, {"scale32": False, "rounding_mode": 3}, "its scale32 fits neither"),
    ],
)
def test_a_scale_that_is_none_is_refused(
    multiplier: int, shift: int, attributes: dict[str, Any], words: str
) -> None:
    with pytest.raises(BundleError, match=words):
        rescaled(multiplier, shift, **attributes)


def test_a_value_without_an_answer_is_refused() -> None:
    program = rescaled(2**30, 20)
    with pytest.raises(BackendError, match="RESCALE 'y': a value is beyond its shifts"):
        program.run([np.array([[2**19]])])
    (y,) = program.run([np.array([[0]])])
    assert y.tolist() == [[3]]
