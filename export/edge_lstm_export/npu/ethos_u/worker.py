"""Runs inside the compiler's environment: makes a step of integers, lowers it with ExecuTorch,
compiles it with Vela, and streams it on TOSA's reference model on request.

`start` loads it, after it has set the limits.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import importlib.util
import io
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tosa_reference_model

from edge_lstm_runtime.backends.tosa.program import pack, unpack
from edge_lstm_runtime.model.network import Network, network_from

_COMPILER = "edge_lstm_ethos_u"
TRIED = 30  # steps, from all over the calibration set
WRONG = 0.1  # NRMSE of a step. Roundings and tables make up to 2e-2, and wrong graphs about 1


@functools.cache
def _part(name: str) -> Any:
    """A module of `compiler`, which is loaded under a name that no other package has. Most of them
    bring torch, which takes seconds."""
    if _COMPILER not in sys.modules:
        folder = Path(__file__).parent / "compiler"
        place = importlib.util.spec_from_file_location(
            _COMPILER, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert place is not None
        assert place.loader is not None
        module = importlib.util.module_from_spec(place)
        sys.modules[_COMPILER] = module
        place.loader.exec_module(module)
    return importlib.import_module(f"{_COMPILER}.{name}")


def build(job: dict[str, Any], folder: Path) -> Simulator:
    """Writes facts.json into `folder`, and model.tosa (the program), .pte, .tflite, .flatbuffer
    (TOSA's) and .npz (Vela's)."""
    made = folder / "made"
    net, step, samples = _step(job, folder)
    lowered, program, constants = _compiled(job, net, step, made)
    (folder / "model.tosa").write_bytes(pack(program, constants))
    (folder / "model.pte").write_bytes(lowered.pte)
    (folder / "model.tflite").write_bytes(lowered.tflite)
    (folder / "model.flatbuffer").write_bytes(lowered.tosa)
    inputs = dict(zip(["x", *net.state], lowered.inputs, strict=True))
    outputs = dict(zip(["y", *net.state], lowered.outputs, strict=True))
    vela = _part("raw").named(made / "output/out_vela.npz", inputs, outputs)
    (folder / "model.npz").write_bytes(vela)
    facts = {
        "operators": _rows(made / "output", "*per-layer*.csv"),
        "summary": _rows(made / "output", "*summary*.csv")[0],
        "outside": lowered.on_cpu,
        "versions": {name: version(name) for name in ("executorch", "ethos-u-vela")},
    }
    (folder / "facts.json").write_text(json.dumps(facts), "utf-8")
    made_of = Simulator(lowered.tosa, program, list(net.state))
    _compare(made_of, step, samples)
    return made_of


def _step(job: dict[str, Any], folder: Path) -> tuple[Network, Any, dict[str, Any]]:
    """With the calibration set."""
    net = network_from(job["features"], job["layers"])
    weights, samples = (dict(np.load(folder / f"{n}.npz")) for n in ("rounded", "calibration"))
    form = _part("tape").FORMS[job["scheme"]][job["form"]]
    return net, _part("step").quantized(net, weights, form, samples), samples


def _compiled(
    job: dict[str, Any], net: Network, step: Any, folder: Path
) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """What `lower` made in the new folder, the program and its constants."""
    folder.mkdir()
    lowered = _part("lower").lowered(step, _sizes(job, net), job["target"], folder)
    program, constants = _part("program").program(lowered.tosa)
    edges: dict[str, Any] = {
        n: {"scale": g.scale, "zero_point": g.zero_point} for n, g in step.edges.items()
    }
    for name, columns in step.columns.items():
        edges[name]["columns"] = list(columns)
    program["edges"] = edges
    order = (program["inputs"], program["outputs"])
    program["inputs"] = [order[0][k] for k in lowered.inputs]
    program["outputs"] = [order[1][k] for k in lowered.outputs]
    return lowered, program, constants


def _sizes(job: dict[str, Any], net: Network) -> dict[str, int]:
    return {"x": job["features"], **net.state}


def trace(job: dict[str, Any], folder: Path, rows: Any) -> bytes:
    """The model is compiled once more, with each value inside as a further output.

    rows: (steps, F), from the start of a stream.

    Returns an npz of (steps, size) float64: `found/NAME` of the reference model, and `exact/NAME`.
    """
    inside = _part("inside")
    net, step, _ = _step(job, folder)
    sites = inside.sites(step, _sizes(job, net))
    step.inside = list(sites)
    lowered, program, _ = _compiled(job, net, step, folder / "traced")
    simulator = Simulator(lowered.tosa, program, list(net.state))
    simulator.set_state(list(net.initial_state().values()))
    whole = [
        np.stack(parts).reshape(len(rows), -1)
        for parts in zip(*map(simulator.step, rows), strict=True)
    ]
    outputs = ["y", *net.state]
    outer = zip(outputs, whole[: len(outputs)], strict=True)
    found = {name: simulator.real(name, values) for name, values in outer}
    inner = zip(sites.items(), whole[len(outputs) :], strict=True)
    found |= {site: inside.real(value, values) for (site, value), values in inner}
    floats = step.in_floats(dict(np.load(folder / "weights.npz")))
    exact = inside.exact(net, floats, np.asarray(rows, np.float64))
    buffer = io.BytesIO()
    named = {f"found/{name}": values for name, values in found.items()}
    np.savez(buffer, **named, **{f"exact/{name}": exact[name] for name in found})
    return buffer.getvalue()


def _compare(simulator: Simulator, step: Any, calibration: dict[str, Any]) -> None:
    """Each output of the compiled graph is that of the step that ExecuTorch was given, but for
    roundings.

    ExecuTorch says nothing of some graphs that it makes wrong: two states that were one tensor, or
    an operator whose input and output are on other grids. Raises RuntimeError.
    """
    chosen = np.linspace(0, len(calibration["x"]) - 1, TRIED).astype(int)
    given = {name: calibration[name][chosen] for name in ("x", *simulator.names)}
    found = simulator.steps(given)
    for name, expected in _part("step").answers(step, given).items():
        error = np.sqrt(np.mean((found[name] - expected) ** 2))
        error /= max(expected.std(), step.edges[name].scale)
        if not error <= WRONG:
            raise RuntimeError(
                f"ExecuTorch made another graph than it was given: NRMSE of {name} {error:.1e}, "
                f"expected {WRONG:g} or less"
            )


def opened(job: dict[str, Any], folder: Path) -> Simulator:
    """Of model.flatbuffer and model.tosa, which an export has made."""
    program, _ = unpack((folder / "model.tosa").read_bytes(), "model.tosa")
    net = network_from(job["features"], job["layers"])
    return Simulator((folder / "model.flatbuffer").read_bytes(), program, list(net.state))


def _rows(folder: Path, pattern: str) -> list[dict[str, str]]:
    files = sorted(folder.glob(pattern))
    if len(files) != 1:
        raise RuntimeError(f"Vela wrote {len(files)} files {pattern}, expected one")
    with files[0].open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _scale(edge: dict[str, Any]) -> Any:
    return edge["scale"] * np.asarray(edge.get("columns", 1.0))


class Simulator:
    """TOSA's reference model, the state carried in integers. x, y and states: float32, flat."""

    def __init__(self, tosa: bytes, program: dict[str, Any], names: list[str]):
        own, _ = _part("program").program(tosa)
        self.names = names
        self._tosa = tosa
        # The model takes and gives its tensors in the flatbuffer's order.
        self._places = [program["inputs"].index(name) for name in own["inputs"]]
        self._found = [own["outputs"].index(name) for name in program["outputs"]]
        self._edges = program["edges"]
        self._tensors = program["tensors"]
        self._inputs = dict(zip(["x", *names], program["inputs"], strict=True))
        self._states: list[Any] = []

    def set_state(self, states: list[Any]) -> None:
        self._states = [self._whole(n, s) for n, s in zip(self.names, states, strict=True)]

    def get_state(self) -> Any:
        return np.concatenate(
            [self._real(n, s) for n, s in zip(self.names, self._states, strict=True)]
            or [np.empty(0, np.float32)]
        )

    def steps(self, given: dict[str, Any]) -> dict[str, Any]:
        """y and the states, (N, size) each, after one step from each row of `given`: x and the
        states before, (N, size)."""
        found = []
        for x, *states in zip(*given.values(), strict=True):
            self.set_state(states)
            y = self.run(x[None])
            found.append([y, *map(self._real, self.names, self._states)])
        parts = map(np.stack, zip(*found, strict=True))
        return dict(zip(["y", *self.names], parts, strict=True))

    def run(self, rows: Any) -> Any:
        return np.concatenate([self._real("y", self.step(row)[0]) for row in rows])

    def step(self, row: Any) -> list[Any]:
        """The integers of y, the states, and further outputs if there are any."""
        vectors = [self._whole("x", row), *self._states]
        answer, status = tosa_reference_model.run(self._tosa, [vectors[k] for k in self._places])
        if status != tosa_reference_model.GraphStatus.TOSA_VALID:
            raise RuntimeError(f"TOSA's reference model ended with {status}")
        found = [np.asarray(answer[k]) for k in self._found]
        self._states = found[1 : len(self._states) + 1]
        return found

    def _whole(self, name: str, values: Any) -> Any:
        edge = self._edges[name]
        tensor = self._tensors[self._inputs[name]]
        dtype = np.dtype(tensor["dtype"])
        limits = np.iinfo(dtype)
        nearest = np.rint(np.asarray(values, np.float64) / _scale(edge)) + edge["zero_point"]
        return np.clip(nearest, limits.min, limits.max).astype(dtype).reshape(tensor["shape"])

    def real(self, name: str, whole: Any) -> Any:
        """Integers of y or a state as numbers, (..., size) float64."""
        edge = self._edges[name]
        return (whole.astype(np.int64) - edge["zero_point"]) * _scale(edge)

    def _real(self, name: str, whole: Any) -> Any:
        return self.real(name, whole.ravel()).astype(np.float32)


class Worker:
    """One model: built once, then simulated."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._simulator: Simulator | None = None
        self._job: dict[str, Any] = {}
        self._sizes: list[int] = []
        self._features = 0

    def answer(self, operation: str, job: dict[str, Any], data: bytes) -> bytes:
        """job: of "build" and "open". data and result: float32, states one after the other."""
        if operation in ("build", "open"):
            for name, digest in job["files"].items():
                if hashlib.sha256((self._folder / name).read_bytes()).hexdigest() != digest:
                    raise RuntimeError(f"{name} has changed since it was written")
            self._job = job
            make = build if operation == "build" else opened
            self._simulator = make(job, self._folder)
            states = network_from(job["features"], job["layers"]).state
            self._features = job["features"]
            self._sizes = list(states.values())
            return hashlib.sha256((self._folder / "model.tosa").read_bytes()).digest()
        assert self._simulator is not None, "build or open comes first"
        values = np.frombuffer(data, np.float32)
        if operation == "set_state":
            ends = np.cumsum(self._sizes)[:-1]
            self._simulator.set_state(np.split(values, ends) if self._sizes else [])
            return b""
        if operation == "get_state":
            found: bytes = self._simulator.get_state().tobytes()
            return found
        if operation == "run":
            answers: bytes = self._simulator.run(values.reshape(-1, self._features)).tobytes()
            return answers
        if operation == "trace":
            return trace(self._job, self._folder, values.reshape(-1, self._features))
        raise ValueError(f"unknown operation {operation!r}")
