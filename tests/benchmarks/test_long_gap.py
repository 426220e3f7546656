"""The benchmark that asks which cell remembers a noun's number: its sentences, and its training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_lstm_runtime.errors import TrainingError
from helpers.benchmarks import benchmark
from helpers.specs import PEERS

long_gap = benchmark("long_gap")


@pytest.mark.parametrize("gap", long_gap.GAPS)
def test_sentences_agree_with_their_first_noun_alone(gap: int) -> None:
    words, number = long_gap.sentences(300, gap, np.random.default_rng(0))
    assert words.shape == (300, gap + 2)
    nouns = {noun: which for pair in long_gap.NOUNS for which, noun in enumerate(pair)}
    between = []
    for row, verb in zip(words, number, strict=True):
        text = [long_gap.VOCABULARY[k] for k in row]
        assert (text[0], text[2:4], text[-1]) == ("the", [",", "which"], ",")
        assert nouns[text[1]] == verb
        between.append(next(nouns[w] for w in reversed(text[2:]) if w in nouns))
    assert 0.4 < np.mean(between == number) < 0.6  # the nearest noun says nothing
    assert 0.4 < number.mean() < 0.6
    assert long_gap.VERBS == ("was", "were")


def test_agreement_is_seeded_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_gap, "SENTENCES", 20)
    one = long_gap.agreement(tmp_path / "one", steps=4, hidden_size=4, quiet=True)
    two = long_gap.agreement(tmp_path / "two", steps=4, hidden_size=4, quiet=True)
    assert one.accuracy == two.accuracy
    assert {kind: len(shares) for kind, shares in one.accuracy.items()} == dict.fromkeys(PEERS, 5)
    assert (tmp_path / "one" / "agreement.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(TrainingError, match=r"seeds was \[0, 1, 2, 3, 4\] and is \[1\]"):
        long_gap.agreement(
            tmp_path / "one", seeds=[1], steps=4, hidden_size=4, resume=True, quiet=True
        )
    monkeypatch.setattr(long_gap, "_train", None)  # nothing is left to train
    assert (
        long_gap.agreement(tmp_path / "one", steps=4, hidden_size=4, resume=True, quiet=True) == one
    )


@pytest.mark.slow
def test_the_lstm_remembers_over_200_words_whatever_the_seed_and_a_plain_rnn_by_luck(
    tmp_path: Path,
) -> None:
    found = long_gap.agreement(tmp_path, quiet=True)
    assert np.min(found.accuracy["lstm"]) > 0.95
    if "rnn" in PEERS:
        assert np.array(found.accuracy["rnn"])[:, -1].min() < 0.75
