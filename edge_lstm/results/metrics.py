"""How good answers are, whichever backend gave them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Sequence as Many
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_lstm_runtime.errors import DataError
from edge_lstm_runtime.inputs.channels import features
from edge_lstm_runtime.model.spec import ModelSpec

from ..data.recordings import Float64, Sequence
from ..data.windows import next_characters, truth_of

CARRIED = "state never reset"  # names metrics of all sequences as one stream
IN_UNITS = frozenset({"mae", "rmse", "mae_last", "rmse_last"})  # of a target


def evaluate(spec: ModelSpec, sequences: Many[Sequence], answers: Many[NDArray[Any]], *, season: int | None = None) -> dict[str, Any]:
    """The metrics of the model's task, ready for JSON.

    answers: per sequence (T, O), streamed from the zero state: logits, else raw units.
    season:  steps of the data's period; adds the seasonal naive forecast.
    Classify: accuracy and macro_f1 at each sequence's last step, confusion (rows: truth),
    accuracy_all_steps.
    Forecast: mae, rmse, nrmse (rmse / standard deviation of the truth), the same per_target and
    per_step ahead, the baselines' on the same steps, beats_naive, beats_seasonal, and the verdict.
    Regress: mae, rmse, nrmse and per_target over every step whose target is known, mae_last and
    rmse_last at the last such step of each sequence, the baseline "mean" (of the training split),
    beats_mean, and the verdict.
    Several targets need not have one unit: mae, rmse, mae_last and rmse_last are then None but in
    per_target, and nrmse is the mean over the targets that change. The verdict is a line for each
    target. A baseline is beaten if MAE and RMSE of every target are lower, as the verdict prints
    them.
    Language: bits_per_character (the mean of -log2 of the true next character's probability),
    perplexity (2 to that power), accuracy of the likeliest character, and the verdict.
    """
    if len(sequences) != len(answers) or not sequences:
        raise DataError(f"{len(answers)} answers for {len(sequences)} sequences; expected one (T, O) array for each, and at least one")
    for sequence, answer in zip(sequences, answers, strict=True):
        expected = (len(sequence.x), spec.output_size)
        if answer.shape != expected:
            raise DataError(f"sequence {sequence.name!r}: the answers have shape {answer.shape}, expected {expected}")
        if not np.isfinite(answer).all():
            step = int(np.argwhere(~np.isfinite(answer))[0, 0])
            raise DataError(f"sequence {sequence.name!r}: the answer at step {step} is not finite, so there is nothing to measure")
    if spec.task == "classify":
        return _classify(spec, sequences, answers)
    if spec.task == "language":
        return _language(spec, sequences, answers)
    if spec.task == "regress":
        return _regress(spec, sequences, answers)
    return _forecast(spec, sequences, answers, season)


def titled(metrics: Mapping[str, Any], titles: Mapping[str, str]) -> dict[str, float | None]:
    """Title -> figure, of the metrics that `titles` has words for, None if there is no figure.

    With several targets, errors in units stand once for each target.
    """
    targets = metrics.get("per_target", {})
    several = len(targets) > 1
    found: dict[str, float | None] = {}
    for name, title in titles.items():
        if several and name in IN_UNITS:
            found |= {f"{title}, {target}": each.get(name) for target, each in targets.items()}
        else:
            mean = ", mean of the targets" if several and name == "nrmse" else ""
            found[title + mean] = metrics.get(name)
    return found


def figure(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}g}"


def spread(spec: ModelSpec, truth: Float64) -> Float64:
    """truth: (steps, O) raw units, all known -> (targets,) each one's standard deviation."""
    deviations: Float64 = truth.reshape(-1, len(spec.targets)).std(axis=0)
    return deviations


def _classify(spec: ModelSpec, sequences: Many[Sequence], answers: Many[NDArray[Any]]) -> dict[str, Any]:
    import torch
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_confusion_matrix, multiclass_f1_score

    count = len(spec.classes)
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
        "classes": list(spec.classes),
        "sequences": len(sequences),
        "steps": len(all_steps),
    }


def _language(spec: ModelSpec, sequences: Many[Sequence], answers: Many[NDArray[Any]]) -> dict[str, Any]:
    truth = np.concatenate([next_characters(s) for s in sequences])
    if not len(truth):
        raise DataError(f"no text of the {len(sequences)} has two characters, so there is no next one to measure; expected longer ones")
    logits = np.concatenate([a[:-1] for a in answers])
    bits = float(np.concatenate([bits_of(s, a) for s, a in zip(sequences, answers, strict=True)]).mean())
    perplexity = 2 ** min(bits, 1000.0)
    verdict = f"Of {len(truth):,} characters of held-out text the LSTM needs {bits:.3f} bits each, perplexity {perplexity:.3g}; with all "
    return {
        "bits_per_character": bits,
        "perplexity": perplexity,
        "accuracy": float((logits.argmax(axis=1) == truth).mean()),
        "sequences": len(sequences),
        "steps": len(truth),
        "verdict": verdict + f"{len(spec.classes)} alike it would be {math.log2(len(spec.classes)):.3f} and {len(spec.classes)}.",
    }


def bits_of(sequence: Sequence, logits: NDArray[Any]) -> Float64:
    """logits: (T, V) -> (T - 1,) -log2 of the probability of the next character."""
    scores = logits[:-1].astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    right = np.take_along_axis(scores, next_characters(sequence)[:, None], axis=1)[:, 0]
    bits: Float64 = (np.log(np.exp(scores).sum(axis=1)) - right) / math.log(2)
    return bits


def _forecast(spec: ModelSpec, sequences: Many[Sequence], answers: Many[NDArray[Any]], season: int | None) -> dict[str, Any]:
    rows: dict[str, list[Float64]] = {"truth": [], "model": [], "naive": []}
    seasonal_rows: list[Float64] = []
    known: list[NDArray[np.bool_]] = []
    known_season: list[NDArray[np.bool_]] = []
    channels = spec.target_channels * spec.horizon
    for sequence, answer in zip(sequences, answers, strict=True):
        truth = truth_of(spec, sequence)
        last_value = features(spec, sequence.x)[1][:, channels]
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
            without = "so there is no seasonal naive forecast to compare with"
            note = f"No stretch is longer than a season of {season} steps, {without}."
    if not chosen.any():
        raise DataError(f"no step of the {len(sequences)} sequences is followed by {spec.horizon} known values; expected longer ones")
    stacked = {name: np.concatenate(parts)[chosen] for name, parts in rows.items()}
    truth = stacked.pop("truth")
    measured = {name: _errors(spec, forecast, truth) for name, forecast in stacked.items()}
    result = measured.pop("model")
    result["steps"] = int(chosen.sum())
    kept = ("mae", "rmse", "nrmse", "per_target")
    result["baselines"] = {name: {k: m[k] for k in kept} for name, m in measured.items()}
    titles = {
        "naive": "naive forecast (last value)",
        "seasonal": f"seasonal naive forecast ({season} steps before)",
    }
    return result | _judged(result, {name: titles[name] for name in measured}, note)


def _regress(spec: ModelSpec, sequences: Many[Sequence], answers: Many[NDArray[Any]]) -> dict[str, Any]:
    truths = [truth_of(spec, s) for s in sequences]
    known = [np.asarray(np.isfinite(t).all(axis=1)) for t in truths]
    chosen = np.concatenate(known)
    if not chosen.any():
        raise DataError(f"no step of the {len(sequences)} sequences has a known target; expected at least one")
    truth, answer = np.concatenate(truths)[chosen], np.concatenate(answers).astype(np.float64)[chosen]
    ends = np.cumsum([k.sum() for k in known])[[bool(k.any()) for k in known]] - 1  # rows of `truth`: each sequence's last known step
    # The answers' offset is the mean of the training split's targets.
    mean = np.tile(np.asarray(spec.output_offset), (len(truth), 1))
    result, baseline = (_with_ends(spec, rows, truth, ends) for rows in (answer, mean))
    result |= {"sequences": len(ends), "steps": len(truth), "baselines": {"mean": baseline}}
    return result | _judged(result, {"mean": "mean of the training split over all steps"})


def _with_ends(
    spec: ModelSpec,
    answer: Float64,
    truth: Float64,
    ends: NDArray[np.int64],
) -> dict[str, Any]:
    """answer, truth: (steps, O), raw units; ends: the rows that are measured by themselves too."""
    found, last = _errors(spec, answer, truth), _errors(spec, answer[ends], truth[ends])
    del found["per_step"]
    for key in ("mae", "rmse"):
        found[f"{key}_last"] = last[key]
        for target, figures in found["per_target"].items():
            figures[f"{key}_last"] = last["per_target"][target][key]
    return found


def _errors(spec: ModelSpec, forecast: Float64, truth: Float64) -> dict[str, Any]:
    """forecast, truth: (steps, O), raw units."""
    import torch
    from torchmetrics.functional import mean_absolute_error, mean_squared_error

    shape = (max(spec.horizon, 1), len(spec.targets))
    prediction, target = torch.from_numpy(forecast), torch.from_numpy(truth)
    outputs = spec.output_size
    # With one output torchmetrics gives a scalar.
    mae = np.asarray(mean_absolute_error(prediction, target, num_outputs=outputs)).reshape(shape)
    mse = np.asarray(mean_squared_error(prediction, target, num_outputs=outputs)).reshape(shape)
    std = spread(spec, truth)

    def figures(mae: Float64, mse: Float64) -> dict[str, Any]:
        """mae, mse: (targets,)"""
        each: dict[str, dict[str, float | None]] = {}
        for j, name in enumerate(spec.targets):
            rmse = math.sqrt(mse[j])
            nrmse = float(rmse / std[j]) if std[j] > 0 else None
            each[name] = {"mae": float(mae[j]), "rmse": rmse, "nrmse": nrmse}
        relative = [e["nrmse"] for e in each.values() if e["nrmse"] is not None]
        in_units = dict.fromkeys(("mae", "rmse")) if len(each) > 1 else each[spec.targets[0]]
        mean = sum(relative) / len(relative) if relative else None
        return {**in_units, "nrmse": mean, "per_target": each}

    steps = [{"ahead": k + 1, **figures(mae[k], mse[k])} for k in range(shape[0])]
    return {**figures(mae.mean(axis=0), mse.mean(axis=0)), "per_step": steps}


def _judged(model: dict[str, Any], titles: dict[str, str], note: str = "") -> dict[str, Any]:
    """beats_NAME of each of the model's `baselines`, and the verdict. titles: their names."""
    beats = dict.fromkeys(titles, True)
    lines = []
    for target, figures in model["per_target"].items():
        sentences = []
        for name, title in titles.items():
            baseline = model["baselines"][name]["per_target"][target]
            better, sentence = _compare(figures, baseline, title)
            beats[name] &= better
            sentences.append(sentence)
        lines.append(("" if len(model["per_target"]) == 1 else f"{target}: ") + " ".join(sentences))
    verdict = "\n".join([*lines, note]).rstrip()
    return {f"beats_{name}": better for name, better in beats.items()} | {"verdict": verdict}


def _compare(model: dict[str, Any], baseline: dict[str, Any], title: str) -> tuple[bool, str]:
    """Whether MAE and RMSE of one target are both lower, and a sentence that says it.

    Judged are the figures as they are printed, so that the words can't contradict them.
    """
    parts = []
    lower = higher = 0
    for key in ("mae", "rmse"):
        printed = figure(model[key]), figure(baseline[key])
        ours, theirs = map(float, printed)
        lower += ours < theirs
        higher += ours > theirs
        difference = _difference(ours, theirs)
        parts.append(f"{key.upper()} {printed[0]} against {printed[1]} ({difference})")
    if lower == 2:
        verb = f"beats the {title}"
    elif lower and higher:
        verb = f"is better in one measure and worse in the other than the {title}"
    elif lower:
        verb = f"is better in one measure than the {title} and the same in the other"
    else:
        verb = f"does not beat the {title}"
    return lower == 2, f"The LSTM {verb}: {', '.join(parts)}."


def _difference(ours: float, theirs: float) -> str:
    if ours == theirs:
        return "the same"
    word = "lower" if ours < theirs else "higher"
    if theirs == 0:
        return word
    percent = 100 * abs(ours / theirs - 1)
    return f"{percent:.{1 if percent >= 0.1 else 2}f} % {word}"
