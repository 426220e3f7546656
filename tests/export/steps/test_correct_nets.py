"""No correct net is refused: long memories, large states, wide and deep ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from edge_lstm import Run, Sequence, Splits
from edge_lstm_export import export_run
from edge_lstm_export.measure.keys import NATIVE, NATIVE_INT8, NUMPY, onnx
from edge_lstm_export.pipeline import STEPS
from edge_lstm_export.work import Work
from edge_lstm_runtime import ModelSpec, Reference, check_backend, load
from helpers.arrays import Array, Weights
from helpers.converter import NEEDS_CONVERTER
from helpers.on_request import ON_REQUEST
from helpers.simulated import simulated
from helpers.specs import lstm_names, make_spec

WINDOW = 128  # steps of 9 channels and 6 classes, as in UCI HAR
CHANNELS = 9
CLASSES = 6
FP16 = "rk3588-fp16.rknn"


def windows(count: int, seed: int) -> list[Sequence]:
    """Each class has its own frequencies, phases at random, and noise."""
    rng = np.random.default_rng(seed)
    steps = np.arange(WINDOW)[:, None]
    found = []
    for k in range(count):
        label = k % CLASSES
        frequency = 0.05 + 0.03 * label + 0.01 * np.arange(CHANNELS)
        phase = rng.uniform(0, 6.28, size=CHANNELS)
        x = np.sin(steps * frequency + phase) + 0.5 * rng.normal(size=(WINDOW, CHANNELS))
        found.append(Sequence(f"w{k}", f"g{k}", x, label))
    return found


@dataclasses.dataclass(frozen=True)
class Net:
    """gain: of the weights, which training lets grow. forget: how far the forget gates' bias is
    raised. drift: what each unit's c gains in a step."""

    hidden: int = 64
    layers: int = 1
    seed: int = 0
    gain: float = 1.0
    forget: float = 1.0
    drift: float = 0.0

    def model(self, train: list[Sequence]) -> tuple[ModelSpec, Weights]:
        """Random layers and a head that is fitted to the classes, by least squares."""
        rng = np.random.default_rng(self.seed)
        spec = make_spec(
            channels=CHANNELS, hidden=self.hidden, layers=self.layers, outputs=CLASSES,
            mean=[0.0] * CHANNELS, std=[1.0] * CHANNELS,
        )  # fmt: skip
        weights = {}
        for name, shape in spec.network.weights.items():
            scale = self.gain / np.sqrt(shape[0]) if len(shape) == 2 else 0.2
            weights[name] = (scale * rng.normal(size=shape)).astype(np.float32)
        units = self.hidden
        for layer in lstm_names(spec):
            weights[f"{layer}.b"][units : 2 * units] += self.forget
            if self.drift:  # i and o are open, and g is `drift` but for what comes in
                weights[f"{layer}.b"][:units] += 6
                weights[f"{layer}.b"][2 * units : 3 * units] += np.arctanh(self.drift)
        weights["head.W"][:] = 0
        top = np.eye(units, dtype=np.float32)
        seen = dataclasses.replace(
            make_spec(channels=CHANNELS, hidden=units, layers=self.layers, outputs=units,
                      mean=[0.0] * CHANNELS, std=[1.0] * CHANNELS)
        )  # fmt: skip
        zero = np.zeros(units, np.float32)
        h = [
            Reference(seen, {**weights, "head.W": top, "head.b": zero}).run(sequence.x)
            for sequence in train
        ]
        wanted = [10.0 * np.eye(CLASSES)[[s.label] * WINDOW] - 5.0 for s in train]
        fitted = np.linalg.lstsq(
            np.concatenate([np.concatenate(h), np.ones((len(train) * WINDOW, 1))], axis=1),
            np.concatenate(wanted),
            rcond=1e-4,
        )[0]
        weights["head.W"] = fitted[:-1].astype(np.float32)
        weights["head.b"] = fitted[-1].astype(np.float32)
        return spec, weights


NETS = {
    **{f"har, seed {seed}": Net(seed=seed, gain=2.5) for seed in range(10)},
    "forget +5": Net(forget=5.0),
    "forget +9": Net(forget=9.0),
    "forget +9, other weights": Net(forget=9.0, seed=1),
    "hidden 256": Net(hidden=256),
    "4 layers": Net(layers=4),
    "c to 800": Net(hidden=32, forget=12.0, drift=0.8),
}


@pytest.fixture
def of(trained: Run) -> Callable[[Net], Run]:
    """A run of a net that was never trained."""

    def run(net: Net) -> Run:
        train = windows(24, 1)
        spec, weights = net.model(train)
        made = dataclasses.replace(trained, spec=spec, weights=weights, metrics={**trained.metrics})
        names = tuple(f"ch{k}" for k in range(CHANNELS))
        classes = tuple(f"class{k}" for k in range(CLASSES))
        made.__dict__["splits"] = Splits(train, windows(6, 2), windows(18, 3), names, classes)
        return made

    return run


def largest_state(run: Run, rows: Array) -> float:
    reference = Reference(run.spec, run.weights)
    reference.run(rows)
    return max(float(np.abs(a).max()) for n, a in reference.state.items() if n.endswith(".c"))


@pytest.mark.parametrize("name", NETS)
def test_float32_is_right_on_every_backend(of: Callable[[Net], Run], name: str) -> None:
    run = of(NETS[name])
    with ExitStack() as resources:
        work = Work(
            run=run, schemes={}, out=Path("x.edge"), say=lambda _: None, resources=resources
        )
        for _, step in STEPS[:4]:
            work = step(work)
    assert work.left_out == {}
    assert list(work.accuracy) == [NUMPY, NATIVE, onnx("model.onnx"), onnx("cell.onnx")]
    if name == "c to 800":
        assert 750 < largest_state(run, work.rows) < 1000


@pytest.mark.slow
@NEEDS_CONVERTER
@pytest.mark.parametrize(
    "name",
    ["har, seed 0", *(pytest.param(n, marks=ON_REQUEST) for n in ("forget +9", "c to 800"))],
)
def test_fp16_leaves_the_rest_of_the_bundle_as_it_is(
    of: Callable[[Net], Run], name: str, tmp_path: Path
) -> None:
    """On the converter's simulator. Whatever fp16 costs, the bundle is written."""
    work = export_run(of(NETS[name]), tmp_path / "net.edge", schemes=("fp16",))
    bundle = load(work.out).bundle
    for backend in ("numpy", "native", "onnx"):
        assert check_backend(bundle, backend).passed
    assert NATIVE_INT8 in work.judgements or "native-int8" in work.left_out
    assert work.left_out.keys() <= {"native-fp16", "native-int8"}
    row = bundle.manifest["artifacts"][FP16]
    largest = max(p.nrmse for p in work.judgements[simulated(FP16)].passes.values())
    assert row["tolerance"]["limit"] >= 4 * largest * 0.95
