"""Task "language": streams, loss and metrics, against PyTorch's own layers over whole texts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from edge_lstm import Config, Run, evaluate, load_data, load_run, train
from edge_lstm.cli.train import closing
from edge_lstm.compare import compare
from edge_lstm.data.characters import next_characters
from edge_lstm.data.load import make_spec
from edge_lstm.data.windows import examples, stream_cuts
from edge_lstm.results.answers import answers
from edge_lstm_runtime import Reference, Session
from edge_lstm_runtime.errors import DataError
from helpers.configs import LANGUAGE
from helpers.prose import write_prose
from helpers.specs import PEERS, hidden_size, lstm_names
from helpers.tolerances import assert_close

Configure = Callable[..., Config]


@pytest.fixture(autouse=True)
def prose(tmp_path: Path) -> str:
    return write_prose(tmp_path)


# --- streams ---


@pytest.mark.parametrize(
    ("steps", "window", "streams"),
    [(100, 7, 4), (100, 25, 4), (101, 5, 4), (10, 3, 7), (12, 3, 9), (9, 100, 3), (5, 1, 1)],
)
def test_windows_cover_each_step_once_and_in_order(steps: int, window: int, streams: int) -> None:
    cuts = [(c.start, c.stop) for c in stream_cuts(steps, window, streams)]
    assert len(cuts) % streams == 0
    joined: list[int] = []
    for stream in range(streams):
        own = [list(range(*cut)) for cut in cuts[stream::streams]]
        assert all(len(part) <= window for part in own)
        # Nothing follows a window that is not full: its state is the end of the stream.
        shorter = [k for k, part in enumerate(own) if len(part) < window]
        assert not shorter or not any(own[shorter[0] + 1 :])
        joined += [step for part in own for step in part]
    assert joined == list(range(steps))


def test_examples_are_the_windows_with_their_next_characters(configure: Configure) -> None:
    splits = load_data(configure(LANGUAGE))
    spec = make_spec(configure(LANGUAGE), splits)
    data = examples(spec, splits.train, window=7, streams=4)
    text = splits.train[0].x[:, 0].astype(int)
    for cut, x, y, mask, length in zip(
        stream_cuts(len(text) - 1, 7, 4), data.x, data.y, data.mask, data.lengths, strict=True
    ):
        here = range(cut.start, cut.stop)
        assert length == mask.sum() == len(here)
        assert np.array_equal(x[:length], np.eye(len(spec.answer.classes))[text[list(here)]])
        assert y[:length].tolist() == [text[t + 1] for t in here]
    with pytest.raises(DataError, match=r"too few for 1000 streams; lower batch_size"):
        examples(spec, splits.train, window=7, streams=1000)


def whole_text_loss(run: Run, x: np.ndarray) -> float:
    """The mean cross-entropy of nn.Embedding, nn.LSTM and nn.Linear in float64 over a text (T, 1).

    One pass, from the zero state.
    """
    net = run.model
    spec = run.spec
    table = (
        torch.eye(spec.feature_size) if net.embedding is None else net.embedding.weight.detach().T
    )
    embedding = nn.Embedding.from_pretrained(table.double())
    hidden = hidden_size(spec)
    lstm = nn.LSTM(table.shape[1], hidden, len(lstm_names(spec)), batch_first=True).double()
    trained = {
        name.replace("_l0", f"_l{k}"): tensor
        for k, layer in enumerate(lstm_names(spec))
        for name, tensor in net.module(layer).rnn.state_dict().items()
    }
    lstm.load_state_dict(trained)
    head = nn.Linear(hidden, spec.output_size).double()
    head.load_state_dict(net.module("head").linear.state_dict())
    text = torch.from_numpy(x[:, 0].astype(np.int64))
    with torch.no_grad():
        return float(cross_entropy(head(lstm(embedding(text[None, :-1]))[0])[0], text[1:]))


@pytest.mark.parametrize("embedding", [None, 5])
def test_an_epoch_is_one_long_pass_over_each_stream(
    embedding: int | None, configure: Configure, tmp_path: Path
) -> None:
    """If the learning rate moves nothing, the training loss must be that of whole streams.

    The state is carried over every window.
    """
    more = {} if embedding is None else {"model__embedding": embedding}
    config = configure(
        LANGUAGE, train__learning_rate=1e-30, train__weight_decay=0.0, train__epochs=1, **more
    )
    run = train(config, tmp_path / "run", quiet=True)
    text = run.splits.train[0].x
    length = -(-(len(text) - 1) // 4)
    streams = [text[k * length : (k + 1) * length + 1] for k in range(4)]
    losses = [whole_text_loss(run, s) * (len(s) - 1) for s in streams]
    assert run.history[0]["train_loss"] == pytest.approx(sum(losses) / (len(text) - 1), rel=1e-5)
    # it does tell streams apart
    assert run.history[0]["train_loss"] != pytest.approx(whole_text_loss(run, text), rel=1e-5)


@pytest.mark.parametrize("embedding", [None, 5])
def test_metrics_are_those_of_pytorch_and_of_the_reference(
    embedding: int | None, configure: Configure, tmp_path: Path
) -> None:
    more = {} if embedding is None else {"model__embedding": embedding}
    run = train(configure(LANGUAGE, train__epochs=6, **more), tmp_path / "run", quiet=True)
    best = run.history[run.metrics["best_epoch"] - 1]
    for part, sequence in (("val", run.splits.val[0]), ("test", run.splits.test[0])):
        nats = whole_text_loss(run, sequence.x)
        assert run.metrics[part]["bits_per_character"] == pytest.approx(
            nats / math.log(2), rel=1e-5
        )
        assert run.metrics[part]["perplexity"] == pytest.approx(math.exp(nats), rel=1e-5)
    assert best["val_loss"] == pytest.approx(whole_text_loss(run, run.splits.val[0].x), rel=1e-5)
    assert best["val_perplexity"] == pytest.approx(run.metrics["val"]["perplexity"], rel=1e-5)
    assert best["val_bits_per_character"] == pytest.approx(
        run.metrics["val"]["bits_per_character"], rel=1e-5
    )
    test = run.splits.test[0]
    session = Session(run.spec, Reference(run.spec, run.weights))  # on the folded weights
    logits = session.run(test.x)
    assert_close(answers(run.model, [test])[0], logits, "float32", "logits")
    truth = test.x[1:, 0].astype(int)
    right = np.mean([row.argmax() == k for row, k in zip(logits[:-1], truth, strict=True)])
    measured = evaluate(run.spec, [test], [logits])
    assert measured["accuracy"] == pytest.approx(right)
    assert measured["steps"] == len(truth) == len(next_characters(test))
    p = np.exp(logits[:-1]) / np.exp(logits[:-1]).sum(axis=1, keepdims=True)
    assert measured["bits_per_character"] == pytest.approx(
        -np.log2([row[k] for row, k in zip(p, truth, strict=True)]).mean()
    )
    assert run.spec.features(test.x).shape == (len(test.x), run.spec.feature_size)
    assert run.weights["lstm0.W_x"].shape == (11, 36)


def test_a_text_that_repeats_is_learned_and_a_run_resumes(
    configure: Configure, tmp_path: Path
) -> None:
    config = configure(
        LANGUAGE,
        model__hidden_size=24,
        train__epochs=40,
        train__learning_rate=0.02,
        train__monitor="bits_per_character",
    )
    run = train(config, tmp_path / "run", quiet=True)
    assert run.metrics["test"]["bits_per_character"] < 0.3
    assert (run.path / "language.png").exists()
    assert (run.path / "curves.png").exists()
    assert "bits each, perplexity" in closing(run)
    assert "11 features -> lstm 24 -> lstm 24 -> dense 11 -> 11 values" in closing(run)
    assert train(config, tmp_path / "run", resume=True, quiet=True).metrics == run.metrics
    assert load_run(tmp_path / "run", "last").spec == run.spec


def test_fine_tuning_for_int8(configure: Configure, tmp_path: Path) -> None:
    config = configure(
        LANGUAGE + '\n[quantize]\nscheme = "int8"\ntolerance = 0\nepochs = 2\n', train__epochs=8
    )
    run = train(config, tmp_path / "run", quiet=True)
    assert run.metrics["quantize"]["after"]["int8"]["test"]["bits_per_character"] < math.log2(11)
    assert "test bits per character" in closing(run)


def test_a_taught_pruned_and_refitted_model_says_what_it_lost(
    configure: Configure, tmp_path: Path
) -> None:
    """Each stage of a training after the first one, or beside it, on text."""
    small = train(
        configure(
            LANGUAGE, distill__hidden_size=12, prune__hidden_size=6, prune__steps=1, prune__epochs=1
        ),
        tmp_path / "small",
        quiet=True,
    )
    rows = small.metrics["compact"]
    assert [row["model"] for row in rows] == [
        "teacher",
        "before pruning",
        "cut to 6",
        "6, fine-tuned",
    ]
    assert [row["units"] for row in rows] == ["12", "9", "6", "6"]
    assert rows[-1]["test"] == {
        name: small.metrics["test"][name] for name in ("bits_per_character", "perplexity")
    }
    assert "bits per character" in closing(small)
    refitted = train(configure(LANGUAGE, train__refit=True), tmp_path / "refitted", quiet=True)
    (text,) = refitted.splits.test
    logits = Reference(refitted.spec, refitted.weights).run(refitted.spec.features(text.x))
    assert refitted.metrics["test"]["bits_per_character"] == pytest.approx(
        evaluate(refitted.spec, [text], [logits])["bits_per_character"], rel=1e-5
    )


# --- the comparison ---


def test_the_comparison_counts_characters(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_lstm.compare.rows.MEASURED", 0.0)
    config = configure(LANGUAGE, model__embedding=5)
    found = compare(config, tmp_path / "compared", quiet=True)
    rows = {row.name: row for row in found.rows}
    assert list(rows) == [*PEERS, "unigram", "bigram"]
    splits = load_data(config)
    train_text, test_text = (
        part[0].x[:, 0].astype(int).tolist() for part in (splits.train, splits.test)
    )
    V = len(splits.classes)
    unigram = sum(
        -math.log2((train_text.count(k) + 1) / (len(train_text) + V)) for k in test_text[1:]
    ) / (len(test_text) - 1)
    pairs = list(pairwise(train_text))
    bigram = sum(
        -math.log2((pairs.count((a, b)) + 1) / (train_text[:-1].count(a) + V))
        for a, b in pairwise(test_text)
    ) / (len(test_text) - 1)
    for name, bits in (("unigram", unigram), ("bigram", bigram)):
        metrics = rows[name].metrics
        assert metrics is not None
        assert metrics["bits_per_character"] == pytest.approx(bits)
    assert rows["bigram"].parameters == V * V
    spec = make_spec(config, splits)
    assert rows["lstm"].parameters == spec.network.parameters  # the embedding is folded
    assert "| bits per character |" in found.markdown
    assert (
        json.loads((tmp_path / "compared" / "compare.json").read_text())["rows"][0]["metrics"][
            "perplexity"
        ]
        > 1
    )
