"""The front end against librosa and formulas, in any chunking, in a session, and refusals."""

from __future__ import annotations

import contextlib
import dataclasses
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge_lstm_runtime as rt
from edge_lstm_runtime.backends.numpy import NumpyBackend
from helpers.bundles import make_bundle
from helpers.generated import PROPERTY
from helpers.sounds import LOG_MEL, sound, sound_spec, write_whole
from helpers.specs import plain_spec
from helpers.tolerances import assert_close
from helpers.weights import random_weights

MFCC = rt.FrontEnd("mfcc", 16000, 400, 160, 512, 40, 13, 60.0, 7600.0, floor=1e-8)
ODD = rt.FrontEnd("mfcc", 11025, 257, 101, 512, 23, 23, 0.0, 5512.5)
EXACT = rt.FrontEnd("log-mel", 8000, 256, 128, 256, 20, 0, 100.0, 3000.0)
ALL = {"log-mel": LOG_MEL, "mfcc": MFCC, "odd": ODD, "exact": EXACT}
every = pytest.mark.parametrize("front_end", ALL.values(), ids=ALL.keys())


def open_session(front_end: rt.FrontEnd) -> rt.Session:
    spec = sound_spec(front_end)
    return rt.Session(spec, NumpyBackend(spec, random_weights(spec)))


# --- the figures ---


@every
def test_it_is_librosa_without_centring(front_end: rt.FrontEnd) -> None:
    librosa = pytest.importorskip("librosa")
    pcm = sound(front_end)
    # librosa pads the window to n_fft on both sides. Zeros before the first sample put its frames
    # at the places of ours.
    y = np.concatenate(
        [
            np.zeros((front_end.n_fft - front_end.frame_length) // 2),
            pcm / 32768,
            np.zeros(front_end.n_fft),
        ]
    )
    mel = librosa.feature.melspectrogram(
        y=y, sr=front_end.sample_rate, n_fft=front_end.n_fft, hop_length=front_end.hop_length,
        win_length=front_end.frame_length, window="hann", center=False, power=2.0,
        n_mels=front_end.n_mels, fmin=front_end.f_min, fmax=front_end.f_max, htk=True, norm=None,
        dtype=np.float64,
    )  # fmt: skip
    expected = np.log(np.maximum(mel, front_end.floor))
    if front_end.kind == "mfcc":
        expected = librosa.feature.mfcc(
            S=expected, n_mfcc=front_end.n_mfcc, dct_type=2, norm="ortho"
        )
    frames = front_end.frames(pcm)
    assert len(frames) == 1 + (len(pcm) - front_end.frame_length) // front_end.hop_length
    assert_close(frames, expected.T[: len(frames)], "sound", "frames")


def test_a_frame_by_the_formulas() -> None:
    pcm = sound(MFCC)[1600 : 1600 + MFCC.frame_length]
    n = np.arange(MFCC.frame_length)
    k = np.arange(MFCC.n_fft // 2 + 1)
    x = pcm / 32768 * np.sin(np.pi * n / MFCC.frame_length) ** 2
    power = np.abs((x * np.exp(-2j * np.pi * np.outer(k, n) / MFCC.n_fft)).sum(axis=1)) ** 2

    def hz(m: float) -> float:
        return float(700 * (10 ** (m / 2595) - 1))

    low, high = (2595 * np.log10(1 + f / 700) for f in (MFCC.f_min, MFCC.f_max))
    logs = []
    for band in range(MFCC.n_mels):
        left, peak, right = (
            hz(low + (high - low) * (band + j) / (MFCC.n_mels + 1)) for j in range(3)
        )
        triangle = [
            max(0.0, min((f - left) / (peak - left), (right - f) / (right - peak)))
            for f in k * 16000 / MFCC.n_fft
        ]
        logs.append(np.log(max(float(power @ triangle), MFCC.floor)))
    m = np.arange(MFCC.n_mels)
    scale = [np.sqrt((2 if c else 1) / MFCC.n_mels) for c in range(MFCC.n_mfcc)]
    expected = [
        s * (logs * np.cos(np.pi * c * (2 * m + 1) / (2 * MFCC.n_mels))).sum()
        for c, s in enumerate(scale)
    ]
    np.testing.assert_allclose(MFCC.frames(pcm), [expected], atol=1e-9, rtol=0)


def test_a_tone_is_in_its_band_and_silence_is_the_floor() -> None:
    t = np.arange(800) / 8000
    frames = LOG_MEL.frames(0.5 * np.sin(2 * np.pi * 1000 * t))
    centres = (
        700
        * (
            10
            ** (
                np.linspace(2595 * np.log10(1 + 20 / 700), 2595 * np.log10(1 + 4000 / 700), 42)
                / 2595
            )
            - 1
        )[1:-1]
    )
    assert set(frames.argmax(axis=1)) == {int(np.abs(centres - 1000).argmin())}
    np.testing.assert_array_equal(LOG_MEL.frames(np.zeros(800)), np.full((8, 40), np.log(1e-4)))


def test_16_bits_are_the_floats_that_they_stand_for() -> None:
    pcm = sound(LOG_MEL)
    np.testing.assert_array_equal(LOG_MEL.frames(pcm), LOG_MEL.frames(pcm / 32768))
    # exact: 16 of 24 bits
    np.testing.assert_array_equal(
        LOG_MEL.frames(pcm), LOG_MEL.frames((pcm / 32768).astype(np.float32))
    )


# --- the stream ---


@every
@PROPERTY
@given(st.lists(st.integers(0, 1200), max_size=12))
def test_any_chunking_gives_the_same_frames(front_end: rt.FrontEnd, sizes: list[int]) -> None:
    pcm = sound(front_end, 0.3)
    stream = rt.FrontEndStream(front_end)
    parts = [
        stream.push(part)
        for part in np.split(pcm, np.minimum(np.cumsum(sizes, dtype=int), len(pcm)))
    ]
    assert len(stream.pending) < front_end.frame_length
    assert_close(np.concatenate(parts), front_end.frames(pcm), "float64", "frames")


def test_more_frames_than_are_computed_together() -> None:
    pcm = np.random.default_rng(1).integers(-3000, 3000, 80 * 600, np.int16)
    frames = LOG_MEL.frames(pcm)
    assert len(frames) == 598
    for k in (0, 255, 256, 511, 597):
        np.testing.assert_array_equal(frames[k], LOG_MEL.frames(pcm[80 * k : 80 * k + 200])[0])


def test_reset_and_pending() -> None:
    pcm = sound(LOG_MEL)
    stream = rt.FrontEndStream(LOG_MEL)
    stream.push(pcm[:333])
    kept = stream.pending
    assert len(kept) == 333 - 2 * 80
    expected = stream.push(pcm[333:700])
    stream.pending = kept
    np.testing.assert_array_equal(stream.push(pcm[333:700]), expected)
    stream.reset()
    assert len(stream.push(pcm[:199])) == 0
    np.testing.assert_array_equal(stream.push(pcm[199:200]), LOG_MEL.frames(pcm[:200]))
    with pytest.raises(
        rt.SampleError, match=r"200 pending samples, expected fewer than a frame has \(200\)"
    ):
        stream.pending = np.zeros(200)


@pytest.mark.parametrize(
    ("pcm", "message"),
    [
        ([1, 2, 3], r"PCM is int64\(3,\); expected \(samples,\) of int16, or of floats"),
        (np.zeros((4, 2)), r"PCM is float64\(4, 2\); expected"),
        (["a"], r"PCM is <U1\(1,\); expected"),
        ([[1.0], [1.0, 2.0]], r"PCM \[\[1.0\], \[1.0, 2.0\]\] is no list of numbers"),
        ([0.5, float("nan")], r"PCM sample 1 is nan; expected floats in -1 to 1"),
        ([0.5, 120.0], r"PCM sample 1 is 120; expected floats in -1 to 1, or int16"),
        ([-np.inf], r"PCM sample 0 is -inf"),
    ],
)
def test_other_numbers_are_refused_and_nothing_is_taken(pcm: Any, message: str) -> None:
    stream = rt.FrontEndStream(LOG_MEL)
    stream.push(np.full(150, 0.25))
    with pytest.raises(rt.SampleError, match=message):
        stream.push(pcm)
    np.testing.assert_array_equal(stream.pending, np.full(150, 0.25))


# --- the session ---


def test_a_session_listens_as_it_runs_frames() -> None:
    pcm = sound(LOG_MEL)
    with open_session(LOG_MEL) as session:
        expected = session.run(LOG_MEL.frames(pcm))
        session.reset()
        first = session.listen(pcm[:1234])
        saved = session.state
        rest = session.listen(pcm[1234:])
        np.testing.assert_allclose(np.concatenate([first, rest]), expected, atol=1e-6, rtol=0)
        session.state = saved
        np.testing.assert_array_equal(session.listen(pcm[1234:]), rest)
        session.reset()
        assert session.listen(pcm[:100]).shape == (0, 3)
        assert session.state["pcm"].shape == (100,)
        with pytest.raises(rt.SampleError, match="PCM sample 0 is nan"):
            session.listen([float("nan")])
        for bad, message in (
            ({}, "keys .*expected the keys .*'pcm'"),
            ({"pcm": np.zeros(200)}, "state 'pcm': 200 pending"),
        ):
            with pytest.raises(rt.BackendError, match=message):
                session.state = {**{k: v for k, v in saved.items() if k != "pcm"}, **bad}
        with pytest.raises(rt.BackendError):
            session.state = {**saved, "lstm0.h": np.zeros((9, 9))}
        assert session.state["pcm"].shape == (100,)


def test_what_a_failing_backend_has_not_heard_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    pcm = sound(LOG_MEL)
    with open_session(LOG_MEL) as session:
        expected = session.listen(pcm[:1000])
        session.reset()

        def fail(_: Any) -> Any:
            raise rt.BackendError("gone")

        with monkeypatch.context() as patched:
            patched.setattr(session.backend, "run", fail)
            with pytest.raises(rt.BackendError, match="gone"):
                session.listen(pcm[:1000])
        np.testing.assert_array_equal(session.listen(pcm[:1000]), expected)


def test_who_takes_frames_only(tmp_path: Any) -> None:
    make_bundle(tmp_path / "plain.edge")
    with (
        rt.load(tmp_path / "plain.edge").session("numpy") as session,
        pytest.raises(rt.ConfigError, match="takes no sound"),
    ):
        session.listen(np.zeros(10))
    make_bundle(tmp_path / "sound.edge", sound_spec(LOG_MEL))
    with (
        rt.load(tmp_path / "sound.edge").session("numpy", streams=2) as several,
        pytest.raises(rt.ConfigError, match="streams takes frames"),
    ):
        several.listen(np.zeros(10))
    write_whole(tmp_path / "whole.edge")
    with (
        rt.load(tmp_path / "whole.edge").session("numpy") as whole,
        pytest.raises(rt.ConfigError, match="a bidirectional model takes frames"),
    ):
        whole.listen(np.zeros(10))


# --- the specification ---


def test_through_a_bundle(tmp_path: Any) -> None:
    bundle = make_bundle(tmp_path / "sound.edge", sound_spec(MFCC))
    assert bundle.spec.inputs.sound == MFCC
    assert bundle.spec.inputs.names[:2] == ("mfcc0", "mfcc1")
    assert rt.check_backend(bundle, "numpy").passed


def test_without_one_a_specification_is_what_it_was() -> None:
    spec = plain_spec(1, 8, channels=1)
    values = spec.to_dict()
    assert "front_end" not in values["inputs"]
    assert rt.ModelSpec.from_dict(values) == spec
    none = {**values["inputs"], "front_end": None}
    assert rt.ModelSpec.from_dict({**values, "inputs": none}) == spec


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "mel"}, "kind is 'mel', expected one of"),
        ({"sample_rate": 8000.0}, "sample_rate is 8000.0, expected a whole number"),
        ({"sample_rate": 0}, "sample_rate is 0, expected 1 to 1000000 Hz"),
        ({"n_fft": 300}, "n_fft is 300, expected a power of two from 4 to 16384"),
        ({"frame_length": 257}, r"frame_length is 257, expected 2 to n_fft \(256\)"),
        ({"hop_length": 201}, r"hop_length is 201, expected 1 to frame_length \(200\)"),
        ({"f_max": 4001.0}, r"f_max is 4001, expected at most half of sample_rate \(4000\)"),
        ({"f_min": 4000.0}, r"f_min is 4000, expected 0 to below f_max \(4000\)"),
        ({"f_min": float("nan")}, "f_min is nan, expected a finite number"),
        ({"floor": 0}, "floor is 0, expected 1e-30 to 1"),
        ({"n_mels": 129}, r"n_mels is 129, expected 1 to n_fft / 2 \(128\), and at most 1024"),
        (
            {"n_mels": 1025, "n_fft": 16384, "sample_rate": 100, "f_max": 50.0},
            r"n_mels is 1025, expected 1 to n_fft / 2 \(8192\), and at most 1024",
        ),
        ({"n_mels": 1, "f_min": 0, "f_max": 1e-14}, "mel band 0 is narrower than an FFT bin"),
        ({"n_mels": 1, "f_min": 100, "f_max": 100.00000000000003}, "mel band 0 is narrower than"),
        ({"n_mels": 120}, r"mel band \d+ is narrower than an FFT bin; lower n_mels \(120\)"),
        ({"n_mfcc": 13}, "n_mfcc is 13, expected 0 for kind 'log-mel'"),
        ({"kind": "mfcc"}, r"n_mfcc is 0, expected 1 to n_mels \(40\)"),
    ],
)
def test_sizes_that_contradict_each_other(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(rt.BundleError, match=f"front end: {message}"):
        dataclasses.replace(LOG_MEL, **changes)


@pytest.mark.parametrize("changes", [{"sample_rate": 100, "f_max": 50.0}, {"n_mels": 8192}])
def test_a_hostile_front_end_takes_little_memory(changes: dict[str, Any]) -> None:
    """The largest one takes 8,192 x 8,193 weights if they are made before they are judged."""
    large = {"n_mels": 1024, "n_fft": 16384, "f_min": 0.0, **changes}
    tracemalloc.start()
    try:
        with contextlib.suppress(rt.BundleError):
            front_end = dataclasses.replace(LOG_MEL, kind="mfcc", n_mfcc=large["n_mels"], **large)
            front_end.frames(np.zeros(200 + 80 * 20))
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()


@every
def test_bands_are_judged_as_their_weights_are(front_end: rt.FrontEnd) -> None:
    """The largest n_mels that is taken has no empty row in the matrix, and one more has."""

    def empty(n_mels: int) -> bool:
        low, high = (2595 * np.log10(1 + f / 700) for f in (front_end.f_min, front_end.f_max))
        hz = 700 * (10 ** (np.linspace(low, high, n_mels + 2) / 2595) - 1)
        bins = np.arange(front_end.n_fft // 2 + 1) * front_end.sample_rate / front_end.n_fft
        inside = (bins > hz[:-2, None]) & (bins < hz[2:, None])
        return not inside.any(axis=1).all()

    for n_mels in range(23, front_end.n_fft // 2 + 1):
        if empty(n_mels):
            with pytest.raises(rt.BundleError, match="narrower than an FFT bin"):
                dataclasses.replace(front_end, n_mels=n_mels)
        else:
            weights = dataclasses.replace(front_end, n_mels=n_mels).mel_weights()
            assert (weights.max(axis=1) > 0).all()
    assert empty(front_end.n_fft // 2)


def test_a_specification_that_is_not_its_front_ends() -> None:
    values = sound_spec(LOG_MEL).to_dict()
    inputs = values["inputs"]
    for changed, message in (
        ({"channels": [f"x{k}" for k in range(40)]}, "and the front end makes"),
        ({"front_end": "mel"}, "front_end is 'mel'"),
        ({"front_end": {"kind": "mfcc"}}, "front end is malformed: .*missing"),
        ({"front_end": {**inputs["front_end"], "lifter": 2}}, "front end is malformed: .*lifter"),
    ):
        with pytest.raises(rt.BundleError, match=message):
            rt.ModelSpec.from_dict({**values, "inputs": {**inputs, **changed}})
