"""Task "language": one-hot features, backends against the reference, text against a loop."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import cli
from edge_lstm_runtime.feeds.lines import answers
from edge_lstm_runtime.inputs.characters import UNKNOWN, Characters
from edge_lstm_runtime.model.npz import write_npz
from helpers.backends import open_any
from helpers.commands import edge_lstm
from helpers.specs import chain, language_spec, make_spec
from helpers.tolerances import assert_close
from helpers.weights import random_weights

ALPHABET = (UNKNOWN, " ", "a", "b", "c", "d", "é")
SPEC = language_spec(ALPHABET, hidden=12, layers=2)
WEIGHTS = {name: 2 * array for name, array in random_weights(SPEC, 3).items()}
TEXT = "abba cad é" * 20


def encode(text: str) -> np.ndarray[Any, Any]:
    assert isinstance(SPEC.inputs, Characters)
    return SPEC.inputs.encode(text)


def session(backend: str = "reference") -> rt.Session:
    return rt.Session(SPEC, open_any(backend, SPEC, WEIGHTS))


def one_hot(text: str) -> np.ndarray[Any, Any]:
    return np.eye(len(ALPHABET))[[ALPHABET.index(c) for c in text]]


@pytest.fixture(scope="module")
def prose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("language") / "prose.edge"
    x = encode(TEXT)
    golden = write_npz({"x": x, "y": rt.Reference(SPEC, WEIGHTS).run(one_hot(TEXT))})
    rt.write_bundle(path, SPEC, WEIGHTS, {"golden.npz": golden})
    return path


def test_the_sizes_follow_from_the_characters() -> None:
    assert (SPEC.input_size, SPEC.feature_size, SPEC.output_size, SPEC.answer.names) == (
        1,
        7,
        7,
        ALPHABET,
    )
    assert SPEC.network.weights["lstm0.W_x"] == (7, 48)
    assert rt.ModelSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"inputs": {"characters": ["a"]}},
            "1 characters, 1 of them different; expected at least 2",
        ),
        ({"inputs": {"characters": ["a", "a"]}}, "2 characters, 1 of them different"),
        (
            {"inputs": {"characters": ["a", "bc"]}},
            r"characters has \['bc'\]; each must be a single",
        ),
        ({"inputs": {"characters": "ab"}}, "characters is 'ab', expected a list of characters"),
        ({"inputs": {"missing": "mask"}}, r"unknown keys \['missing'\]"),
        ({"inputs": {"std": [2.0]}}, r"unknown keys \['std'\]"),
        ({"answer": {"classes": list(ALPHABET[::-1])}}, "are not the characters of the inputs"),
        ({"answer": {"classes": ["a", "b"]}}, "has 7 outputs, and the answer 2"),
        ({"answer": {"targets": ["character"]}}, r"unknown keys \['targets'\]"),
        ({"answer": {"scale": [1.0]}}, r"unknown keys \['scale'\]"),
        ({"answer": {"horizon": 1}}, r"unknown keys \['horizon'\]"),
        ({"answer": {"residual": True}}, r"unknown keys \['residual'\]"),
    ],
)
def test_contradictions_are_refused(change: dict[str, dict[str, Any]], message: str) -> None:
    good = SPEC.to_dict()
    wrong = {part: {**good[part], **values} for part, values in change.items()}
    with pytest.raises(rt.BundleError, match=message):
        rt.ModelSpec.from_dict({**good, **wrong})


def test_one_that_reads_both_ways_and_one_of_channels_are_refused() -> None:
    both = chain(len(ALPHABET), 12, 1, len(ALPHABET), bidirectional=True)
    with pytest.raises(rt.BundleError, match="reads both ways: it would read the characters"):
        rt.ModelSpec(SPEC.inputs, both, SPEC.answer)
    channels = make_spec(channels=7).inputs
    with pytest.raises(rt.BundleError, match="are not the characters of the inputs"):
        rt.ModelSpec(channels, SPEC.network, SPEC.answer)


@pytest.mark.parametrize("backend", ["numpy", "onnx-fused", "onnx-cell", "rknn-adapter", "native"])
def test_each_backend_streams_as_the_reference_does_on_one_hot_rows(backend: str) -> None:
    from edge_lstm_runtime.backends.native import NativeBackend

    expected = rt.Reference(SPEC, WEIGHTS).run(one_hot(TEXT))
    found = (
        rt.Session(SPEC, NativeBackend(SPEC, WEIGHTS)) if backend == "native" else session(backend)
    )
    assert_close(
        np.stack([found.step(x) for x in encode(TEXT)]),
        expected,
        "float32",
        "logits, step by step",
    )
    found.reset()
    assert_close(found.run(encode(TEXT)), expected, "float32", "logits of the whole text")
    assert_close(SPEC.features(encode(TEXT)), one_hot(TEXT), "exact", "features")


@pytest.mark.parametrize(
    "sample", [[2], [2.0], np.array([2], np.uint8), np.array([2.0], np.float32)]
)
def test_an_index_may_be_any_kind_of_number(sample: Any) -> None:
    assert_close(
        session().step(sample), rt.Reference(SPEC, WEIGHTS).step(one_hot("a")[0]), "exact", "logits"
    )


@pytest.mark.parametrize("bad", [7, -1, 0.5, np.nan, np.inf, 1e300])
@pytest.mark.parametrize("backend", ["reference", "numpy"])
def test_no_index_of_a_character_is_refused_and_leaves_the_state(backend: str, bad: float) -> None:
    found = session(backend)
    found.step([1])
    before = found.state
    with pytest.raises(
        rt.SampleError,
        match=r"^channel 'character' is .*; expected the index of a character, a whole number "
        r"from 0 to 6$",
    ):
        found.step([bad])
    with pytest.raises(
        rt.SampleError, match=r"^row 1: channel 'character' is .*expected the index"
    ):
        found.run([[1], [bad]])
    with pytest.raises(
        rt.SampleError, match=r"^step 1: channel 'character' is .*expected the index"
    ):
        SPEC.features([[1], [bad]])
    for name, array in found.state.items():
        assert_close(array, before[name], "exact", name)


@pytest.mark.parametrize("bad", ["a", ["a"], [1, 2], [[1]], None])
def test_what_is_no_index_at_all_is_refused(bad: Any) -> None:
    with pytest.raises(rt.SampleError):
        session().step(bad)


def test_streams_are_independent_and_a_bad_one_is_named(prose: Path) -> None:
    with rt.load(prose).session("numpy", streams=2) as both:
        found = np.stack([both.step([[2], [k]]) for k in (3, 4, 5)])
        with pytest.raises(rt.SampleError, match="stream 1: channel 'character' is 9"):
            both.step([[2], [9]])
    for k, text in enumerate(("aaa", "bcd")):
        assert_close(
            found[:, k], rt.Reference(SPEC, WEIGHTS).run(one_hot(text)), "float32", f"stream {k}"
        )


def test_describe_names_the_likeliest_characters() -> None:
    logits = np.log(np.array([0.01, 0.3, 0.1, 0.4, 0.1, 0.05, 0.04]))
    told = rt.describe(SPEC, logits)
    assert told == {
        "label": "b",
        "probabilities": {"b": 0.4, " ": 0.3, "a": 0.1, "c": 0.1, "d": 0.05},
    }


def test_lines_are_indices_or_characters() -> None:
    found = list(
        answers(
            session(),
            [
                "character",
                "2",
                "[3]",
                '["b"]',
                '{"character": "a"}',
                '["x"]',
                "9",
                '{"reset": true}',
                '["a"]',
            ],
        )
    )
    expected = [rt.describe(SPEC, y) for y in rt.Reference(SPEC, WEIGHTS).run(one_hot("abba"))]
    assert [{k: v for k, v in line.items() if k != "line"} for line in found[:4]] == expected
    assert "character 'x' is not one that the model knows" in found[4]["error"]
    assert "expected the index of a character" in found[5]["error"]
    assert found[7]["probabilities"] == expected[0]["probabilities"]


# --- text ---


def by_hand(prompt: str, length: int, temperature: float, seed: int) -> str:
    """All probabilities, and the draw by walking along them, in float64 without a session."""
    reference = rt.Reference(SPEC, WEIGHTS)
    rng = np.random.default_rng(seed)
    for row in one_hot(prompt):
        logits = reference.step(row)
    text = ""
    for _ in range(length):
        speakable = logits[1:]
        if temperature:
            p = np.exp(speakable / temperature)
            mark = rng.random() * p.sum()
            index = 0
            while mark >= p[index]:
                mark -= p[index]
                index += 1
        else:
            index = int(np.argmax(speakable))
        text += ALPHABET[1 + index]
        logits = reference.step(one_hot(text[-1])[0])
    return text


@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("seed", [0, 5])
def test_text_is_that_of_a_loop_by_hand(temperature: float, seed: int) -> None:
    expected = by_hand("bad é", 60, temperature, seed)
    for backend in ("reference", "numpy", "onnx-fused"):
        assert (
            "".join(
                rt.generate(
                    session(backend), "bad é", length=60, temperature=temperature, seed=seed
                )
            )
            == expected
        ), backend


def test_the_state_goes_on_and_a_seed_decides() -> None:
    found = session()
    first = "".join(rt.generate(found, "ab", length=30, temperature=1))
    found.reset()
    assert "".join(rt.generate(found, "ab", length=30, temperature=1)) == first
    assert "".join(rt.generate(session(), "ab", length=30, temperature=1, seed=1)) != first
    found.reset()
    found.run(encode("a"))
    # the a is in the state
    assert "".join(rt.generate(found, "b", length=30, temperature=1)) == first
    assert list(rt.generate(found, "a", length=0)) == []


def test_a_tiny_temperature_is_the_likeliest_and_a_huge_one_never_the_unknown() -> None:
    likeliest = "".join(rt.generate(session(), "a", length=40, temperature=0))
    assert "".join(rt.generate(session(), "a", length=40, temperature=1e-300)) == likeliest
    drawn = "".join(rt.generate(session(), "a", length=600, temperature=1e6))
    assert set(drawn) == set(ALPHABET) - {UNKNOWN}


@pytest.mark.parametrize(
    ("prompt", "options", "error", "message"),
    [
        ("", {}, rt.SampleError, "the prompt is empty"),
        (
            "ax",
            {},
            rt.SampleError,
            "character 'x' is not one that the model knows; expected one of ' abcdé'$",
        ),
        ("A", {}, rt.SampleError, "; use lower case$"),
        ("a", {"length": -1}, rt.ConfigError, "length is -1"),
        ("a", {"length": 1.5}, rt.ConfigError, "length is 1.5"),
        ("a", {"seed": -1}, rt.ConfigError, "seed is -1"),
        ("a", {"temperature": -0.1}, rt.ConfigError, "temperature is -0.1"),
        ("a", {"temperature": np.nan}, rt.ConfigError, "temperature is nan"),
        ("a", {"temperature": 10**400}, rt.ConfigError, "temperature is 1000"),
        ("a", {"temperature": "hot"}, rt.ConfigError, "temperature is 'hot'"),
    ],
)
def test_bad_options_are_refused_before_the_first_character(
    prompt: str, options: dict[str, Any], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        rt.generate(session(), prompt, **options)


def test_other_models_and_several_streams_generate_no_text(
    classify_file: Path, prose: Path
) -> None:
    with (
        rt.load(classify_file).session("numpy") as other,
        pytest.raises(rt.ConfigError, match="task is 'classify'"),
    ):
        rt.generate(other, "a")
    with (
        rt.load(prose).session("numpy", streams=2) as both,
        pytest.raises(rt.ConfigError, match="2 streams"),
    ):
        rt.generate(both, "a")


@pytest.mark.parametrize("backend", ["numpy", "native", "reference"])
def test_the_command_prints_prompt_and_text(prose: Path, backend: str) -> None:
    done = edge_lstm(
        "generate",
        prose,
        "--prompt",
        "bad",
        "--length",
        50,
        "--temperature",
        0.5,
        "--seed",
        3,
        "--backend",
        backend,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "bad" + by_hand("bad", 50, 0.5, 3) + "\n"


def test_each_character_comes_out_as_it_is_drawn(
    prose: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Flushes(io.StringIO):
        seen: list[str] = []  # noqa: RUF012  (one instance)

        def flush(self) -> None:
            self.seen.append(self.getvalue())

    out = Flushes()
    monkeypatch.setattr(sys, "stdout", out)
    assert (
        cli.main(["generate", str(prose), "--prompt", "ab", "--length", "9", "--backend", "numpy"])
        == 0
    )
    assert {len(text) for text in out.seen} >= set(range(3, 12))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prompt", "Time"], "character 'T' is not one that the model knows"),
        (["--prompt", ""], "the prompt is empty"),
        (["--prompt", "a", "--length", "-4"], "length is -4"),
        (["--prompt", "a", "--backend", "tpu"], "unknown backend 'tpu'"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line(
    prose: Path, options: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["generate", str(prose), *options]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("edge-lstm: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_bundle_is_checked_and_told(prose: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bundle = rt.load(prose).bundle
    for backend in ("numpy", "native", "reference"):
        assert rt.check_backend(bundle, backend).passed
    assert cli.main(["info", str(prose)]) == 0
    assert "language" in capfd.readouterr().out
