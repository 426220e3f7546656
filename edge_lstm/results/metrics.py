"""How good answers are, whichever backend gave them."""

from __future__ import annotations

import math
from collections.abc import Sequence as Many
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.model.spec import ModelSpec

from ..data.recordings import Float64, Sequence
from ..data.windows import next_characters, truth_of


def evaluate(
    spec: ModelSpec,
    sequences: Many[Sequence],
    answers: Many[NDArray[Any]],
    *,
    season: int | None = None,
) -> dict[str, Any]:
    """The metrics of the model's task, ready for JSON.

    answers: per sequence (T, O), streamed from the zero state: logits, else raw units.
    season:  steps of the data's period; adds the seasonal naive forecast.
    Classify: accuracy and macro_f1 at each sequence's last step, confusion (rows: truth), accuracy_all_steps.
    Forecast: mae, rmse, nrmse (rmse / standard deviation of the truth; the mean over targets), the same per_target and per_step
    ahead, the baselines' on the same steps, beats_naive and beats_seasonal (lower MAE and lower RMSE), and the verdict in words.
    Regress: mae, rmse, nrmse and per_target over every step whose target is known, mae_last and rmse_last at the last such step of each
    sequence (the mean over targets), the baseline "mean" (of the training split), beats_mean, and the verdict.
    Language: bits_per_character (the mean of -log2 of the true next character's probability), perplexity (2 to that power),
    accuracy of the likeliest character, and the verdict.
    """
    if len(sequences) != len(answers) or not sequences:
        raise DataError(
            f"{len(answers)} answers for {len(sequences)} sequences; expected one (T, O) array for each, and at least one"
        )
    for sequence, answer in zip(sequences, answers, strict=True):
        expected = (len(sequence.x), spec.output_size)
        if answer.shape != expected:
            raise DataError(
                f"sequence {sequence.name!r}: the answers have shape {answer.shape}, expected {expected}"
            )
        if not np.isfinite(answer).all():
            step = int(np.argwhere(~np.isfinite(answer))[0, 0])
            raise DataError(
                f"sequence {sequence.name!r}: the answer at step {step} is not finite, so there is nothing to measure"
            )
    if spec.answer.task == "classify":
        return _classify(spec, sequences, answers)
    if spec.answer.task == "language":
        return _language(spec, sequences, answers)
    if spec.answer.task == "regress":
        return _regress(spec, sequences, answers)
    return _forecast(spec, sequences, answers, season)


def _classify(
    spec: ModelSpec, sequences: Many[Sequence], answers: Many[NDArray[Any]]
) -> dict[str, Any]:
    import torch
    from torchmetrics.functional.classification import (
        multiclass_accuracy,
        multiclass_confusion_matrix,
        multiclass_f1_score,
    )

    count = len(spec.answer.classes)
    truth = torch.tensor([s.label for s in sequences])
    last = torch.tensor(np.array([a[-1].argmax() for a in answers]))
    all_steps = torch.tensor(np.concatenate([a.argmax(axis=1) for a in answers]))
    all_truth = truth.repeat_interleave(torch.tensor([len(a) for a in answers]))
    figures = {  # torchmetrics answers in float32; what is past 6 digits is its rounding
        "accuracy": multiclass_accuracy(last, truth, count, average="micro"),
        "macro_f1": multiclass_f1_score(last, truth, count, average="macro"),
        "accuracy_all_steps": multiclass_accuracy(all_steps, all_truth, count, average="micro"),
    }
    return {
        **{name: round(float(value), 6) for name, value in figures.items()},
        "confusion": multiclass_confusion_matrix(last, truth, count).tolist(),
        "classes": list(spec.answer.classes),
        "sequences": len(sequences),
        "steps": len(all_steps),
    }


def _language(
    spec: ModelSpec, sequences: Many[Sequence], answers: Many[NDArray[Any]]
) -> dict[str, Any]:
    truth = np.concatenate([next_characters(s) for s in sequences])
    if not len(truth):
        raise DataError(
            f"no text of the {len(sequences)} has two characters, so there is no next one to measure; expected longer ones"
        )
    logits = np.concatenate([a[:-1] for a in answers])
    bits = float(
        np.concatenate([bits_of(s, a) for s, a in zip(sequences, answers, strict=True)]).mean()
    )
    perplexity = 2 ** min(bits, 1000.0)
    verdict = f"Of {len(truth):,} characters of held-out text the LSTM needs {bits:.3f} bits each, perplexity {perplexity:.3g}; with all "
    return {
        "bits_per_character": bits,
        "perplexity": perplexity,
        "accuracy": float((logits.argmax(axis=1) == truth).mean()),
        "sequences": len(sequences),
        "steps": len(truth),
        "verdict": verdict
        + f"{len(spec.answer.classes)} alike it would be {math.log2(len(spec.answer.classes)):.3f} and {len(spec.answer.classes)}.",
    }


def bits_of(sequence: Sequence, logits: NDArray[Any]) -> Float64:
    """logits: (T, V) -> (T - 1,) -log2 of the probability of the next character."""
    scores = logits[:-1].astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    right = np.take_along_axis(scores, next_characters(sequence)[:, None], axis=1)[:, 0]
    bits: Float64 = (np.log(np.exp(scores).sum(axis=1)) - right) / math.log(2)
    return bits


def _forecast(
    spec: ModelSpec, sequences: Many[Sequence], answers: Many[NDArray[Any]], season: int | None
) -> dict[str, Any]:
    rows: dict[str, list[Float64]] = {"truth": [], "model": [], "naive": []}
    seasonal_rows: list[Float64] = []
    known: list[NDArray[np.bool_]] = []
    known_season: list[NDArray[np.bool_]] = []
    channels = spec.answer.channels(spec.inputs) * spec.answer.horizon
    for sequence, answer in zip(sequences, answers, strict=True):
        truth = truth_of(spec, sequence)
        last_value = spec.inputs.features(sequence.x)[1][:, channels]
        rows["truth"].append(truth)
        rows["model"].append(answer.astype(np.float64))
        rows["naive"].append(last_value)
        known.append(np.asarray(np.isfinite(truth).all(axis=1)))
        if season is not None:
            # What `future` says at t - season is, step for step, the value one season before the truth at t.
            before = np.full_like(truth, np.nan)
            before[season:] = truth[:-season] if season < len(truth) else before[season:]
            seasonal_rows.append(before)
            known_season.append(np.asarray(np.isfinite(before).all(axis=1)))
    chosen = np.concatenate(known)
    note = ""
    if season is not None:
        both = chosen & np.concatenate(known_season)
        if both.any():  # all forecasts are measured on the same steps
            chosen = both
            rows["seasonal"] = seasonal_rows
        else:
            note = f" No stretch is longer than a season of {season} steps, so there is no seasonal naive forecast to compare with."
    if not chosen.any():
        raise DataError(
            f"no step of the {len(sequences)} sequences is followed by {spec.answer.horizon} known values; expected longer ones"
        )
    stacked = {name: np.concatenate(parts)[chosen] for name, parts in rows.items()}
    truth = stacked.pop("truth")
    measured = {name: _errors(spec, forecast, truth) for name, forecast in stacked.items()}
    result = measured.pop("model")
    result["steps"] = int(chosen.sum())
    result["baselines"] = {
        name: {k: m[k] for k in ("mae", "rmse", "nrmse")} for name, m in measured.items()
    }
    sentences = []
    for name, title in (
        ("naive", "naive forecast (last value)"),
        ("seasonal", f"seasonal naive forecast ({season} steps before)"),
    ):
        if name in measured:
            result[f"beats_{name}"], sentence = _compare(result, measured[name], title)
            sentences.append(sentence)
    result["verdict"] = " ".join(sentences) + note
    return result


def _regress(
    spec: ModelSpec, sequences: Many[Sequence], answers: Many[NDArray[Any]]
) -> dict[str, Any]:
    truths = [truth_of(spec, s) for s in sequences]
    known = [np.asarray(np.isfinite(t).all(axis=1)) for t in truths]
    chosen = np.concatenate(known)
    if not chosen.any():
        raise DataError(
            f"no step of the {len(sequences)} sequences has a known target; expected at least one"
        )
    truth, answer = (
        np.concatenate(truths)[chosen],
        np.concatenate(answers).astype(np.float64)[chosen],
    )
    ends = (
        np.cumsum([k.sum() for k in known])[[bool(k.any()) for k in known]] - 1
    )  # rows of `truth`: each sequence's last known step
    # The answers' offset is the mean of the training split's targets.
    mean = np.tile(np.asarray(spec.answer.offset), (len(truth), 1))
    result, baseline = (
        {**_errors(spec, rows, truth), **_at_ends(spec, rows, truth, ends)}
        for rows in (answer, mean)
    )
    beats, sentence = _compare(result, baseline, "mean of the training split")
    return {
        **{key: value for key, value in result.items() if key != "per_step"},
        "sequences": len(ends),
        "steps": len(truth),
        "baselines": {
            "mean": {
                key: baseline[key] for key in ("mae", "rmse", "nrmse", "mae_last", "rmse_last")
            }
        },
        "beats_mean": beats,
        "verdict": sentence,
    }


def _at_ends(
    spec: ModelSpec, answer: Float64, truth: Float64, ends: NDArray[np.int64]
) -> dict[str, float]:
    """answer, truth: (steps, O), raw units; ends: the rows to measure."""
    return {
        f"{key}_last": value
        for key, value in _errors(spec, answer[ends], truth[ends]).items()
        if key in ("mae", "rmse")
    }


def _errors(spec: ModelSpec, forecast: Float64, truth: Float64) -> dict[str, Any]:
    """forecast, truth: (steps, O), raw units."""
    import torch
    from torchmetrics.functional import mean_absolute_error, mean_squared_error

    shape = (max(spec.answer.horizon, 1), len(spec.answer.targets))
    prediction, target = torch.from_numpy(forecast), torch.from_numpy(truth)
    outputs = spec.output_size
    # With one output torchmetrics gives a scalar.
    mae = np.asarray(mean_absolute_error(prediction, target, num_outputs=outputs)).reshape(shape)
    mse = np.asarray(mean_squared_error(prediction, target, num_outputs=outputs)).reshape(shape)
    std = truth.reshape(-1, *shape).std(axis=(0, 1))

    def over_std(rmse: Float64) -> float | None:
        """The mean over the targets; None where a target doesn't change."""
        return float((rmse / std).mean()) if (std > 0).all() else None

    def figures(mae: Float64, mse: Float64) -> dict[str, float | None]:
        """mae, mse: (targets,)"""
        rmse = np.sqrt(mse)
        return {
            "mae": float(mae.mean()),
            "rmse": float(np.sqrt(mse.mean())),
            "nrmse": over_std(rmse),
        }

    per_target = {}
    for j, name in enumerate(spec.answer.targets):
        rmse = math.sqrt(mse[:, j].mean())
        per_target[name] = {
            "mae": float(mae[:, j].mean()),
            "rmse": rmse,
            "nrmse": float(rmse / std[j]) if std[j] > 0 else None,
        }
    return {
        **figures(mae.mean(axis=0), mse.mean(axis=0)),
        "per_target": per_target,
        "per_step": [{"ahead": k + 1, **figures(mae[k], mse[k])} for k in range(shape[0])],
    }


def _compare(model: dict[str, Any], baseline: dict[str, Any], title: str) -> tuple[bool, str]:
    """Whether the model's MAE and RMSE are both lower, target by target on average, and a sentence that says it.

    Ratios of the same target are averaged, so that a target in large units doesn't decide alone.
    """
    ratios = {}
    for key in ("mae", "rmse"):
        pairs = [
            (model["per_target"][t][key], baseline["per_target"][t][key])
            for t in model["per_target"]
        ]
        ratios[key] = sum(
            a / b if b > 0 else (1.0 if a == b else math.inf) for a, b in pairs
        ) / len(pairs)
    beats = all(ratio < 1 for ratio in ratios.values())
    mixed = not beats and any(ratio < 1 for ratio in ratios.values())
    verb = (
        "beats"
        if beats
        else "is better in one measure and worse in the other than"
        if mixed
        else "does not beat"
    )
    parts = []
    for key in ("mae", "rmse"):
        change = 100 * (ratios[key] - 1)
        words = (
            "the same"
            if abs(change) < 0.05
            else f"{abs(change):.1f} % {'lower' if change < 0 else 'higher'}"
        )
        parts.append(f"{key.upper()} {model[key]:.4g} against {baseline[key]:.4g} ({words})")
    return beats, f"The LSTM {verb} the {title}: {', '.join(parts)}."
