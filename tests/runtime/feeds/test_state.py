"""A stream whose state is saved and restored at any place gives the answers of one that was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge_lstm_runtime as rt
from edge_lstm_runtime import BackendError, stored
from edge_lstm_runtime.backends.numpy import numpy_backend
from edge_lstm_runtime.feeds.blocks import Blocks
from edge_lstm_runtime.feeds.pcm import Texts
from edge_lstm_runtime.inputs.frames import Frames
from edge_lstm_runtime.inputs.front_end import FrontEnd
from edge_lstm_runtime.inputs.text import TextForm
from edge_lstm_runtime.tasks.forecast import Detector
from helpers.generated import PROPERTY
from helpers.specs import changed, make_spec
from helpers.streamed import MODELS
from helpers.weights import random_weights

NAMED = TextForm(separator=";", decimal=",", columns=("x", "b", "a", "y"))
LINES = {
    **{name: spec for name, spec in MODELS.items() if not spec.whole},
    "without a header": changed(make_spec(channels=["a", "b"], missing="ffill"), text=NAMED),
}
MEL = FrontEnd(
    "log-mel", 8000, 64, 24, n_fft=64, n_mels=6, n_mfcc=0, f_min=20, f_max=4000
)  # fmt: skip
FORECAST = make_spec(task="forecast", channels=MEL.names)
SIZE = FORECAST.output_size
SOUNDS = {
    "front end": changed(make_spec(channels=MEL.names), front_end=MEL),
    "frames": changed(make_spec(channels=16), frames=Frames(8000, 16, 5)),
    "anomaly": changed(
        FORECAST,
        front_end=MEL,
        detector=Detector((0.0,) * SIZE, (1.0,) * SIZE, threshold=2.0, smoothing=0.5),
    ),
}
PLACE = np.zeros(16, np.uint8)


def session(spec: rt.ModelSpec) -> rt.Session:
    return rt.Session(spec, numpy_backend(spec, random_weights(spec)))


def through_a_file(state: stored.State, path: Path) -> stored.State:
    stored.save(path, PLACE, {"run": state})
    found = stored.restore(path, PLACE)
    assert found is not None
    return found["run"]


def text_of(spec: rt.ModelSpec, rng: np.random.Generator) -> list[str]:
    """Lines of every form, some of which can't be used."""
    names = list(spec.inputs.names)
    form = spec.inputs.text
    found = []
    for k in range(rng.integers(1, 40)):
        if spec.answer.task == "language":
            row: list[Any] = [int(rng.integers(0, 4))]
        else:
            row = rng.normal(size=len(names)).round(3).tolist()
        if spec.inputs.elapsed:
            row[-1] = abs(row[-1])
        kind = rng.integers(0, 12)
        if kind == 0:
            found.append(rng.choice(["E-3", "", "1_0,1,1", '{"reset": true}', "[1]"]))
        elif kind == 1:
            pairs = dict(zip(names, row, strict=True))
            if spec.inputs.elapsed:
                pairs["when"] = 1690000000 + 7 * k
                del pairs["dt"]
            found.append(str({"id": k, **pairs}).replace("'", '"'))
        elif kind == 2:
            found.append(str(row))
        elif kind == 3 and rng.integers(0, 3) == 0:
            found.append(form.separator.join([*names[::-1], "more"]))
        else:
            width = [0.5, *row[::-1], 2.0] if form.columns and kind < 9 else row
            found.append(form.separator.join(str(v).replace(".", form.decimal) for v in width))
    return found


@pytest.mark.parametrize("name", LINES)
@PROPERTY
@given(st.integers(0, 2**32), st.sampled_from([(0, 1), (0, 3), (5, 1), (7, 4)]))
def test_lines(name: str, tmp_path_factory: Any, seed: int, options: tuple[int, int]) -> None:
    spec = LINES[name]
    rng = np.random.default_rng(seed)
    lines = text_of(spec, rng)
    whole = whole_text(spec, lines, options)
    path = tmp_path_factory.mktemp("state") / "a.state"
    found = ""
    state = None
    cuts = sorted(rng.integers(0, len(lines) + 1, 2).tolist())
    parts = [lines[a:b] for a, b in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
    for k, part in enumerate(parts):
        with session(spec) as s:
            feed = Blocks(s, options[0], every=options[1])
            if state is not None:
                feed.state = through_a_file(state, path)
            last = k == len(parts) - 1
            try:
                found += "".join(feed.texts([part], goes_on=not last))
            except rt.ConfigError as e:
                found = str(e)
                break
            state = feed.state
    assert found == whole


def whole_text(spec: rt.ModelSpec, lines: list[str], options: tuple[int, int]) -> str:
    with session(spec) as s:
        try:
            return "".join(Blocks(s, options[0], every=options[1]).texts([lines]))
        except rt.ConfigError as e:
            return str(e)


@pytest.mark.parametrize("name", SOUNDS)
@PROPERTY
@given(st.integers(0, 2**32), st.sampled_from([(0, 1), (0, 3), (5, 1), (7, 4)]))
def test_sound(name: str, tmp_path_factory: Any, seed: int, options: tuple[int, int]) -> None:
    """Cut within a frame, too."""
    spec = SOUNDS[name]
    rng = np.random.default_rng(seed)
    pcm = rng.integers(-9000, 9000, rng.integers(70, 900)).astype(np.int16)
    keys = {"reset_every": options[0], "every": options[1]}
    with session(spec) as s:
        whole = "".join(Texts(s, **keys).texts([pcm]))
    path = tmp_path_factory.mktemp("state") / "a.state"
    found = ""
    state = None
    parts = np.split(pcm, sorted(rng.integers(0, len(pcm) + 1, 3)))
    for k, part in enumerate(parts):
        with session(spec) as s:
            feed = Texts(s, **keys)
            if state is not None:
                feed.state = through_a_file(state, path)
            found += "".join(feed.texts([part], goes_on=k < 3))
            state = feed.state
    assert found == whole


def test_the_state_of_another_kind_is_refused() -> None:
    spec = SOUNDS["front end"]
    with session(spec) as s:
        with pytest.raises(BackendError, match="of lines; expected frames of sound"):
            Texts(s).state = Blocks(s).state
        with pytest.raises(BackendError, match="of frames of sound; expected lines"):
            Blocks(s).state = Texts(s).state
        with pytest.raises(BackendError, match="of a stream of `edge-lstm serve`; expected lines"):
            Blocks(s).state = {}
