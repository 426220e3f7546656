"""How the bundles of format 1 beside this file were made, by edge-lstm 0.1.0, the last to write it.

    python make_format1.py      # with that version installed: it doesn't run with this one

NAME.edge    a small model of random weights, with what exports put beside it
format1.npz  NAME.x: (steps, C) raw samples, NAME.y: (steps, O) the session's answers to them on
             the float64 reference, NAME.scores: (steps,) the detector's
"""

from pathlib import Path

import numpy as np
from edge_lstm_runtime.bundle import write_npz
from edge_lstm_runtime.golden import golden_features, run_sequences
from edge_lstm_runtime.reference import reference

from edge_lstm_export.graphs import build
from edge_lstm_runtime import AnomalyDetector, ModelSpec, Session, __version__, write_bundle

HERE = Path(__file__).parent
NAN = np.nan
SPECS = {
    "classify": ModelSpec(
        "classify",
        ("ax", "ay"),
        3,
        1,
        (0.5, -1.0),
        (2.0, 0.25),
        "mask",
        classes=("still", "walk", "run"),
    ),
    "forecast": ModelSpec(
        "forecast",
        ("a", "dt", "b"),
        4,
        2,
        (0.0, 0.5, 10.0),
        (1.0, 2.0, 3.0),
        "ffill",
        targets=("b", "a"),
        horizon=2,
        output_offset=(0.1, 0.2, 0.3, 0.4),
        output_scale=(1.0, 2.0, 0.5, 4.0),
        residual=True,
        anomaly_centre=(0.0, 0.1, 0.0, -0.1),
        anomaly_scale=(1.0, 0.5, 2.0, 1.0),
        anomaly_threshold=2.5,
        anomaly_smoothing=0.4,
        dt="dt",
        dt_unit=60.0,
        time="when",
    ),
    "both": ModelSpec(
        "classify",
        ("a", "b"),
        3,
        2,
        (0.0, 1.0),
        (1.0, 2.0),
        classes=("yes", "no"),
        bidirectional=True,
    ),
    "language": ModelSpec(
        "language", ("character",), 5, 1, (0.0,), (1.0,), classes=("<unk>", " ", "a", "b")
    ),
}
FORMS = {"classify": "lstm", "forecast": "cell", "both": "lstm", "language": "lstm"}


def samples(spec, rng):
    if spec.task == "language":
        return rng.integers(0, 4, (30, 1)).astype(np.float64)
    xs = rng.normal(size=(30, len(spec.channels))) * spec.input_std + spec.input_mean
    if spec.dt:
        xs[:, 1] = rng.integers(0, 300, 30)
    if spec.missing != "refuse":
        xs[rng.random(xs.shape) < 0.2] = NAN
    return xs


def main():
    answers = {}
    for seed, (name, spec) in enumerate(SPECS.items()):
        rng = np.random.default_rng(seed)
        weights = {
            n: rng.uniform(-1, 1, shape).astype(np.float32)
            for n, shape in spec.weight_shapes().items()
        }
        xs = samples(spec, rng)
        lengths = np.array([17, 13] if spec.bidirectional else [30])
        golden = {
            "x": xs,
            "y": run_sequences(
                reference(spec, weights), golden_features(spec, xs, lengths), lengths
            ),
        }
        members = {
            "model.onnx": build(spec, weights, FORMS[name]).SerializeToString(deterministic=True)
        }
        facts = {"versions": {"edge-lstm": __version__}, "accuracy": {
            "numpy": {"max_abs": 1e-7, "nrmse": 1e-7, "steps": 30},
            "onnx model.onnx, state never reset": {"max_abs": 2e-7, "nrmse": 3e-7, "steps": 30},
        }}  # fmt: skip
        if spec.bidirectional:
            golden["lengths"] = lengths
        else:
            int8 = {}
            for k in range(spec.num_layers):
                for part in "xh":
                    W = weights[f"layer{k}.W_{part}"]
                    step = (np.abs(W).max(axis=0) / 127).astype(np.float32)
                    int8[f"layer{k}.W_{part}"] = np.rint(W / step).astype(np.int8)
                    int8[f"layer{k}.step_{part}"] = step
                int8[f"layer{k}.b"] = weights[f"layer{k}.b"]
            members["int8.npz"] = write_npz(int8)
            shape = (2, spec.num_layers, spec.hidden_size)
            calibration = {
                "h": rng.normal(size=shape),
                "c": rng.normal(size=shape),
                "x": rng.normal(size=(2, spec.feature_size)),
            }
            members["calibration.npz"] = write_npz(
                {n: a.astype(np.float32) for n, a in calibration.items()}
            )
            facts["native_int8"] = {
                "tolerance": {"metric": "nrmse", "limit": 0.1, "reason": "random weights"}
            }
        members["golden.npz"] = write_npz(golden)
        write_bundle(HERE / f"{name}.edge", spec, weights, members, **facts)
        answers[f"{name}.x"] = xs
        answers[f"{name}.y"] = Session(spec, reference(spec, weights)).run(xs)
        if spec.anomaly_scale:
            detector = AnomalyDetector(spec)
            found = [detector(x, y) for x, y in zip(xs, answers[f"{name}.y"], strict=True)]
            answers[f"{name}.scores"] = np.array([d.score for d in found])
    np.savez(HERE / "format1.npz", **answers)


if __name__ == "__main__":
    main()
