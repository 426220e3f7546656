"""Models of every kind that answers lines of text."""

from __future__ import annotations

from edge_lstm_runtime.tasks.forecast import Detector
from helpers.specs import changed, language_spec, make_spec

FORECAST = make_spec(task="forecast", missing="ffill", residual=True)
SIZE = FORECAST.output_size
TIMED = make_spec(task="forecast", channels=["a", "b", "dt"], mean=[0, 1, 1], std=[1, 1, 1])
MODELS = {
    "classify": make_spec(),
    "one channel": make_spec(channels=1),
    "channels named like numbers": make_spec(channels=["0", "1"]),
    "gaps filled": FORECAST,
    "gaps marked": make_spec(missing="mask"),
    "time": changed(TIMED, dt="dt", dt_unit=60.0, time="when"),
    "anomaly": changed(
        FORECAST, detector=Detector((0.0,) * SIZE, (1.0,) * SIZE, threshold=2.0, smoothing=0.5)
    ),
    "bidirectional": make_spec(bidirectional=True),
    "language": language_spec("abcd", hidden=8),
}
