"""An imported net in float16 and int8: what it is told that nobody trained it for."""

from __future__ import annotations

import json
import re
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edge_lstm_runtime as rt
from edge_lstm_export import export_run, from_torch, import_net
from edge_lstm_export.asked import wanted
from edge_lstm_export.c.export import export_c
from edge_lstm_export.steps import inspect
from helpers import stand_in
from helpers.commands import here
from helpers.converter import NEEDS_CONVERTER
from helpers.jobs import NET
from helpers.on_request import ON_REQUEST
from helpers.sentences import prose

XS = np.random.default_rng(3).normal(size=(600, 1)).astype(np.float32)
# Advice to somebody who made the net.
TRAINS = re.compile(r"\btrain (with|it|the|one|again|a)\b|trained with(out)? |\[quantize\]|retrain")


@pytest.fixture(scope="module")
def amp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("amp") / "amp.json"
    path.write_text(NET)
    np.save(path.with_name("xs.npy"), XS)
    return path


@pytest.fixture(scope="module")
def made(amp: Path) -> Path:
    """A bundle whose samples are synthetic."""
    out = amp.with_name("made.edge")
    export_run(import_net(amp), out, schemes=())
    return out


def two_layers() -> nn.Module:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(1, 3, num_layers=2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.lstm(x)[0]
            return found

    torch.manual_seed(0)
    return Net().eval()


def test_the_format_that_rounds_least_is_the_default() -> None:
    assert wanted(["rk3588"], None, None, 1, imported=True) == {"rk3588": ("fp16",)}
    assert wanted(["rk3588"], None, None, 1) == {"rk3588": ("fp16", "w8a8")}
    both = {"rv1106": ("w16a16i_dfp",), "rv1103b": ("w8a8",)}
    assert wanted(list(both), None, None, 1, imported=True) == both
    assert wanted(["rk3588"], ["w8a8"], None, 1, imported=True) == {"rk3588": ("w8a8",)}


@pytest.mark.parametrize("target", ["rk3588", "rv1106", "rv1103b"])
def test_made_samples_calibrate_nothing(target: str, amp: Path, tmp_path: Path) -> None:
    scheme = "w8a8"
    with pytest.raises(rt.ConversionError, match=rf"^w8a8 on {target} is calibrated with real"):
        export_run(import_net(amp), tmp_path / "a.edge", targets=[target], schemes=[scheme])
    assert not list(tmp_path.iterdir())


def test_made_samples_give_no_int8_for_cpus(
    made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    why = "the bundle has no int8.npz; import it with --samples again"
    with pytest.raises(rt.BackendUnavailableError, match=why):
        rt.load(made).session("native-int8")
    with pytest.raises(rt.BackendUnavailableError, match=why):
        rt.load(made).session("native-int8", streams=3)
    with pytest.raises(rt.ConversionError, match=why):
        export_c(made, tmp_path / "c", scheme="int8")
    code, said, err = here(capfd, "check", made, "--backend", "native-int8")
    assert code == 2
    assert "promises no accuracy for native-int8; import it with --samples again" in said + err
    assert here(capfd, "check", made)[0] == 0


def test_a_net_that_is_exact_in_int8_passes_its_own_test(amp: Path, tmp_path: Path) -> None:
    """One unit: each vector has one value, which is its own largest."""
    out = tmp_path / "amp.edge"
    export_run(import_net(amp, amp.with_name("xs.npy")), out, schemes=())
    tolerance = rt.load(out).bundle.manifest["native_int8"]["tolerance"]
    assert tolerance["limit"] == 1e-5
    assert export_c(out, tmp_path / "c", scheme="int8").built.verdict.startswith("largest error")


def test_no_message_advises_to_train(
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Of a net that is bad in int8, whatever is asked of it."""

    def noisy(rows: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        noise = np.random.default_rng(0).normal(size=rows.shape)
        return (rows + 1.7 * noise).astype(np.float32)

    monkeypatch.setattr(inspect, "DRIFT_STEPS", 1000)
    net = from_torch(two_layers(), torch.zeros(1, 20, 1), samples=XS)
    told = []
    cases = (
        ("rk3588", "w8a8", noisy, "not usable"),
        ("rv1103b", "w8a8", noisy, "not usable"),
        ("rk3588", "fp16", lambda rows: 1 - 9 * rows, "left out"),
    )
    for target, scheme, spoil, expected in cases:
        stand_in.install(monkeypatch, **{scheme: spoil})
        out = tmp_path / "bad.edge"
        work = export_run(net, out, targets=[target], schemes=[scheme], say=told.append)
        assert any(expected in line for line in told), [line for line in told if "NRMSE" in line]
        told += [*work.notes, *work.doubts, out.with_suffix(".html").read_text("utf-8")]
        told += here(capfd, "check", out)[1:]
    text = tmp_path / "x.csv"
    text.write_text("x0\n0.1\nnan\n")
    sound = tmp_path / "a.wav"
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(3200))
    for words in (
        ["run", made, "--input", text, "--backend", "numpy"],
        ["run", made, "--input", text, "--backend", "rknn"],
        ["run", made, "--input", sound],
        ["check", made],
        ["info", made],
        ["lint", made, "--target", "rk3588", "--scheme", "w8a8"],
        ["generate", made, "--prompt", "a"],
    ):
        told += here(capfd, *words)[1:]
    assert not [line for line in told if TRAINS.search(line)]
    assert any("is NaN" in line for line in told)


def test_rounding_beside_the_original_is_no_doubt(amp: Path, tmp_path: Path) -> None:
    """Of answers near 1000 the rounding is large beside their spread. No checkpoint is at fault."""
    far = tmp_path / "far.json"
    far.write_text(NET.replace("[0.25]", "[1000]"))
    net = import_net(far, amp.with_name("xs.npy"))
    work = export_run(net, tmp_path / "a.edge", schemes=())
    assert not work.doubts
    assert "NRMSE from the original" in work.out.with_suffix(".html").read_text("utf-8")


def test_a_state_that_sums_up_is_told_and_refused_near_the_end_of_float16(tmp_path: Path) -> None:

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.RNN(1, 1, nonlinearity="relu", batch_first=True)
            with torch.no_grad():
                for name, value in (("weight_ih", 1), ("weight_hh", 1), ("bias_ih", 0.1)):
                    getattr(self.rnn, f"{name}_l0").fill_(value)
                self.rnn.bias_hh_l0.zero_()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.rnn(x)[0]
            return found

    torch.manual_seed(0)
    xs = (10 + XS).astype(np.float32)
    net = from_torch(Net().eval(), torch.zeros(1, 600, 1), samples=xs)
    work = export_run(net, tmp_path / "a.edge", schemes=())
    (note,) = (note for note in work.notes if "still grows" in note)
    assert note.startswith("state rnn0.h still grows at the end of the samples: in their quarters")
    assert note in rt.load(work.out).bundle.manifest["notes"]
    page = work.out.with_suffix(".html").read_text("utf-8")
    assert note.replace("`", "") in prose(page)  # it is shown as code
    many = from_torch(Net().eval(), torch.zeros(1, 600, 1), samples=10 * xs)
    refused = r"^rk3588 fp16: state rnn0\.h reaches 60,\d\d\d at step 599 of the samples \(unit 0"
    with pytest.raises(rt.ConversionError, match=refused):
        export_run(many, tmp_path / "b.edge", schemes=["fp16"])
    assert not list(tmp_path.glob("b*"))


def test_a_state_that_float16_holds_badly_is_told(tmp_path: Path) -> None:
    """It counts to 40, adds small values for a while, and counts back."""
    layers = [
        {"type": "lstm", "weights": [[[0, 0, 1, 0]], [[0, 0, 0, 0]], [30, 30, 0, 30]]},
        {"type": "dense", "weights": [[[1]], [0]]},
    ]
    path = tmp_path / "count.json"
    path.write_text(json.dumps({"in_shape": [None, None, 1], "layers": layers}))
    xs = np.random.default_rng(0).normal(size=(600, 1)) * 0.05
    for start in (0, 200, 400):
        xs[start : start + 40] = 100
        xs[start + 100 : start + 140] = -100
    np.save(tmp_path / "xs.npy", xs)
    net = import_net(path, tmp_path / "xs.npy")
    work = export_run(net, tmp_path / "a.edge", schemes=())
    coarse = [note for note in work.notes if note.startswith("float16 is coarse for state lstm0.c")]
    assert "where float16 has steps of 0.03125" in coarse[0]
    assert coarse[0].endswith("over the last 600 of the samples, and 0.002 is good")


@pytest.mark.slow
@ON_REQUEST
@NEEDS_CONVERTER
def test_int8_of_heavy_tailed_inputs_on_the_simulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Channels of very different sizes, |Student t| with 2 degrees of freedom, two layers."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(8, 24, num_layers=2, batch_first=True)
            self.head = nn.Linear(24, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.head(self.lstm(x)[0])
            return found

    monkeypatch.setattr(inspect, "DRIFT_STEPS", 1000)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    xs = np.abs(rng.standard_t(2, size=(900, 8))) * np.logspace(-2, 0.5, 8)
    module = Net().eval()
    net = from_torch(module, torch.zeros(1, 20, 8), samples=xs.astype(np.float32))
    work = export_run(net, tmp_path / "a.edge", schemes=["w8a8"])
    (member,) = work.artifacts
    assert work.artifacts[member].form.name == "packed"
    with rt.load(work.out).session("rknn-sim") as session:
        y = session.run(xs[-300:].astype(np.float32))
    with torch.no_grad():
        right = module.double()(torch.tensor(xs[-300:].astype(np.float32)).double()[None])[0]
    spread = float(right.std())
    assert np.sqrt(np.mean((y - right.numpy()) ** 2)) / spread < 2e-2
    (note,) = (note for note in work.notes if note.startswith("w8a8: The int8 product of lstm"))
    assert note in rt.load(work.out).bundle.manifest["notes"]
    assert note in work.out.with_suffix(".html").read_text("utf-8")
