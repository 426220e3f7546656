"""`edge-lstm inspect` of a language model against the reference, character by character."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge_lstm import Run, Splits, load_config, train
from edge_lstm_export.insight.context import Context, measure_context
from edge_lstm_export.insight.memory import measure_memory
from edge_lstm_export.insight.plots import plot_cell
from edge_lstm_runtime import DataError, Reference
from edge_lstm_runtime.cli import main
from helpers.tolerances import assert_close

PHRASE = "The cat -- sat, on THE mat;\n\nthe rat sat too! A hat, a mat, a rat: none of them sat. "


@pytest.fixture(scope="module")
def prose(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two layers and an embedding, trained until more than the last character counts."""
    folder = tmp_path_factory.mktemp("prose")
    (folder / "prose.txt").write_text(PHRASE * 15)
    (folder / "config.toml").write_text(
        '[data]\nsource = "text"\npath = "prose.txt"\nlower = true\nkeep = "aefhmnorst.\\n"\n'
        "window = 20\n"
        '[data.split]\nby = "time"\nval = 0.1\ntest = 0.2\n'
        '[model]\ntask = "language"\nhidden_size = 12\nnum_layers = 2\nembedding = 5\n'
        '[train]\nepochs = 15\nbatch_size = 4\nlearning_rate = 0.02\naccelerator = "cpu"\n'
    )
    return train(load_config(folder / "config.toml"), folder / "run", quiet=True)


def read(run: Run, text: list[int], reference: Reference) -> np.ndarray:
    """From the reference's state on -> (T, V) logits."""
    return np.array([reference.step(np.eye(len(run.spec.answer.classes))[k]) for k in text])


def bits(logits: np.ndarray, character: int) -> float:
    p = np.exp(logits - logits.max())
    return -math.log2(p[character] / p.sum())


def of_test(run: Run) -> list[int]:
    (sequence,) = run.splits.test
    return [int(k) for k in sequence.x[:, 0]]


def test_context_is_what_the_reference_takes_after_a_reset(prose: Run) -> None:
    text = of_test(prose)
    found = measure_context(prose, longest=9, most=10**6)
    whole = [
        bits(row, after)
        for row, after in zip(
            read(prose, text, Reference(prose.spec, prose.weights)), text[1:], strict=False
        )
    ]
    more = []
    places = range(9, len(whole) - 8)  # of each, the 9 characters that are read have a next one
    for start in places:
        rows = read(prose, text[start : start + 9], Reference(prose.spec, prose.weights))
        more.append(
            [bits(row, text[start + k + 1]) - whole[start + k] for k, row in enumerate(rows)]
        )
    assert found.places == len(places)
    assert found.whole == pytest.approx(np.mean(whole), rel=1e-5)
    assert found.whole == pytest.approx(prose.metrics["test"]["bits_per_character"], rel=1e-5)
    np.testing.assert_allclose(found.bits, np.mean(whole) + np.mean(more, axis=0), rtol=1e-5)
    # the training did teach it more than pairs of characters
    assert found.bits[0] > found.whole + 0.2
    assert measure_context(prose, longest=9, most=20).places == 20


def test_a_model_that_forgets_at_once_uses_one_character(prose: Run) -> None:
    import torch

    from edge_lstm import load_run

    run = load_run(prose.path)
    with torch.no_grad():
        for k in range(2):
            lstm = run.model.module(f"lstm{k}").rnn
            lstm.weight_hh_l0.zero_()
            lstm.bias_ih_l0[12:24] = -40  # the forget gate: nothing is kept
    found = measure_context(run)
    np.testing.assert_allclose(found.bits, found.whole, rtol=1e-5)
    assert found.used == 1
    assert "a context of 1 character:" in found.sentences()[1]


def test_the_context_that_is_used() -> None:
    assert Context(5, 2.0, np.array([3.0, 2.5, 2.021, 2.019, 2.0])).used == 4
    assert Context(5, 2.0, np.array([3.0, 2.01, 2.03, 2.0])).used == 4  # it is the last that tells
    short = Context(5, 2.0, np.array([3.0, 2.5, 2.1]))
    assert short.used is None
    assert short.sentences() == [
        "The next character takes 2.000 bits with all of the text before it known, and 3.000, "
        "2.100 with the last 1, 3 characters of it "
        "alone.",
        "With 3 characters 1 % or more is still lost: it uses more context than that.",
    ]


def test_a_characters_effect_is_that_of_another_in_its_place(prose: Run) -> None:
    (recording,) = prose.splits.test
    text = of_test(prose)
    found = measure_memory(prose.spec, prose.weights, recording)

    def cells(characters: list[int]) -> np.ndarray:
        """(T, layers, H)"""
        reference = Reference(prose.spec, prose.weights)
        rows = []
        for k in characters:
            read(prose, [k], reference)
            rows.append([reference.state["lstm0.c"], reference.state["lstm1.c"]])
        return np.array(rows)

    as_it_is = cells(text)
    assert_close(np.stack(found.c, axis=1), as_it_is, "float64", "c")
    later = found.effect[0].shape[1]
    for row, start in enumerate(found.starts[:3]):
        others = sorted(set(text) - {text[start]})
        squares = np.zeros((later, 2))
        for other in others:
            moved = (
                cells([*text[:start], other, *text[start + 1 :]])[start : start + later]
                - as_it_is[start : start + later]
            )
            squares += (moved**2).sum(axis=2) / len(others)
        for layer in range(2):
            np.testing.assert_allclose(
                found.effect[layer][row], np.sqrt(squares[:, layer]), rtol=1e-9, atol=1e-12
            )
    assert "a character's effect on the cell" in found.effect_sentences()[0]
    logits = read(prose, text, Reference(prose.spec, prose.weights))
    assert np.isnan(found.x[0, 0])
    np.testing.assert_allclose(
        found.x[1:, 0], [bits(row, k) for row, k in zip(logits, text[1:], strict=False)], rtol=1e-9
    )


def test_the_characters_stand_below_the_cell_and_beside_each_other(prose: Run) -> None:
    (recording,) = prose.splits.test
    memory = measure_memory(prose.spec, prose.weights, recording)
    assert memory.steps > 100
    figure = plot_cell(memory, [np.arange(12.0)] * 2)
    figure.canvas.draw()
    labels = figure.axes[2].get_xticklabels()
    text = "".join(prose.spec.answer.classes[k] for k in of_test(prose)[:100])
    assert "\n" in text
    assert [label.get_text() for label in labels] == list(text.replace(" ", "␣").replace("\n", "↵"))
    boxes = [label.get_window_extent() for label in labels]
    assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))
    assert len(figure.axes[0].patches) == 100


def test_the_page_speaks_of_characters(prose: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(prose.path)]) == 0
    out = capsys.readouterr().out
    html = (prose.path / "inspect.html").read_text()
    assert len(re.findall(r'src="data:image/png;base64,', html)) == 5
    titles = re.findall(r"<h2>(.*?)</h2>", html)
    assert titles[2:4] == ["How long one character is felt", "How much context it uses"]
    words = re.sub(r"base64,[^\"]*", "", html).split("<body>")[1]
    known = len(prose.spec.answer.classes)
    assert f"language · lstm 12 → lstm 12 → dense {known} · {known} characters" in words
    for word in ("channel", "sample", "std"):
        assert word not in words + out
    plain = re.sub(r"\s+", " ", out)
    assert (
        f"takes {prose.metrics['test']['bits_per_character']:.3f} bits with all of the text "
        "before it known" in plain
    )


def test_a_text_of_ones_own(prose: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("The rat's HAT: a math-o-mat.\n" * 2 + "Zzz")
    assert main(["inspect", str(prose.path), "--input", str(letter), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["task"] == "language"
    assert figures["memory"]["recording"] == "letter.txt"
    left = "the rat s hat a math o mat.\n" * 2 + " "
    assert figures["memory"]["steps"] == figures["memory"]["length"] == len(left)
    assert "channels" not in figures
    assert figures["context"]["whole"] == pytest.approx(
        prose.metrics["test"]["bits_per_character"], rel=1e-5
    )
    for content, message in (
        ("hat", "recording 'letter.txt' has 3 steps; expected at least 4"),
        ("aaaaaa", "text 'letter.txt' has one character again and again"),
        (None, "letter.txt: there is no such file"),
    ):
        letter.unlink()
        if content is not None:
            letter.write_text(content)
        assert main(["inspect", str(prose.path), "--input", str(letter)]) == 2
        assert message in capsys.readouterr().err


def with_test(prose: Run, x: np.ndarray) -> Run:
    (recording,) = prose.splits.test
    other = dataclasses.replace(recording, x=x)
    run = dataclasses.replace(prose)
    run.__dict__["splits"] = Splits(
        prose.splits.train, prose.splits.val, [other], prose.splits.channels, prose.splits.classes
    )
    return run


def test_a_test_split_too_short_to_reset_in(prose: Run) -> None:
    (recording,) = prose.splits.test
    with pytest.raises(DataError, match="have 4 characters or fewer; expected at least 5"):
        measure_context(with_test(prose, recording.x[:4]))


def test_a_long_test_split_is_reset_in_as_often_as_documented(prose: Run) -> None:
    """docs/inspect.md: 100 characters after up to 2,000 places."""
    (recording,) = prose.splits.test
    long = np.concatenate([recording.x] * (1 + 2500 // len(recording.x)))
    found = measure_context(with_test(prose, long))
    assert (found.bits.shape, found.places) == ((100,), 2000)
