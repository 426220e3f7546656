"""Every public name has a docstring with shapes and an example, and every example is run."""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.inputs.characters import UNKNOWN
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.tasks.classify import Classify
from edge_lstm_runtime.tasks.forecast import Detector, Forecast
from helpers.arrays import Array, Weights
from helpers.bundles import network_outputs
from helpers.public import Public, methods, names
from helpers.specs import chain, language_spec, make_spec
from helpers.weights import random_weights

NAMES = list(names())
METHODS = [method for name in NAMES for method in methods(name)]
# What a docstring's example shows a method by: a call, or the use of a property.
USED = r"\.{}\b"
# Arrays by their annotations, and the arguments of `fit` and of its like, which take any kind.
ARRAYS = re.compile(r"\bArray\b|NDArray|ArrayLike|Float64|Float32|Tensor|ndarray|\bState\b")
TAKES_ARRAYS = {"data", "X", "y", "x", "xs", "features", "pcm", "outputs", "answers"}
# Sizes in parentheses: "(N, T, C)", "(steps,)", "(O,)", "()".
SHAPE = re.compile(
    r"(?<!\w)\((?:|(?:[A-Z]|\d+|steps|samples|rows|size|n|n_\w+|frame_length|streams|sequences|classes|"
    r"inputs|stop)\b[^()]*)\)"
)

# The public key of RFC 8032's first example.
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
MINE = """
[data]
source = "csv"
path = "mine.csv"
channels = ["ax", "ay", "az"]
label = "activity"
group = "recording"
[data.split]
by = "group"
stratify = true
[model]
task = "classify"
hidden_size = 8
[train]
epochs = 12
learning_rate = 0.03
"""


def example_of(item: Public) -> str:
    """The examples that a reader of its page finds: its own, and its class's."""
    own = item.docstring
    return own if item.owner is None else own + inspect.cleandoc(item.owner.__doc__ or "")


def prose_of(item: Public) -> str:
    """The docstring without its examples."""
    blocks = item.docstring.split("\n\n")
    return "\n\n".join(block for block in blocks if not block.lstrip().startswith(">>>"))


def arrays_of(item: Public) -> list[str]:
    """The arguments and the result that are arrays, and an object's fields."""
    found = item.annotations
    if inspect.isclass(item.thing):
        fields = vars(item.thing).get("__annotations__", {})
        return [k for k, v in fields.items() if not k.startswith("_") and ARRAYS.search(str(v))]
    return [k for k, kind in found.items() if ARRAYS.search(kind) or k in TAKES_ARRAYS]


def test_there_are_public_names() -> None:
    assert {"edge_lstm.fit", "edge_lstm_runtime.Session", "edge_lstm_export.export_run"} <= {
        name.where for name in NAMES
    }
    assert {"edge_lstm.Run.predict", "edge_lstm_runtime.Session.state"} <= {
        method.where for method in METHODS
    }


def undocumented(items: Iterable[Public]) -> list[str]:
    return [item.where for item in items if len(item.docstring) < 10]


def unexampled(items: Iterable[Public]) -> list[str]:
    """Names without an example, and methods that neither their own nor the class's shows."""
    bare = []
    for item in items:
        pattern = "" if item.owner is None else USED.format(item.where.rpartition(".")[2])
        shown = re.findall(r"^(?:>>>|\.\.\.) .*$", example_of(item), re.MULTILINE)
        if not any(re.search(pattern, line) for line in shown):
            bare.append(item.where)
    return bare


def unshaped(items: Iterable[Public]) -> list[str]:
    """Those that take or give arrays, and say no shape."""
    return [
        f"{item.where}: {', '.join(arrays)}"
        for item in items
        if (arrays := arrays_of(item)) and not SHAPE.search(prose_of(item))
    ]


@pytest.mark.parametrize("bare", [undocumented, unexampled, unshaped])
def test_no_public_name_and_no_public_method_is_bare(
    bare: Callable[[Iterable[Public]], list[str]],
) -> None:
    assert bare([*NAMES, *METHODS]) == []


class Bare:
    """A class of the kind that is to be found.

    >>> Bare().shown
    """

    field: Array

    @property
    def shown(self) -> int:
        """A property in an example."""
        return 1

    def silent(self) -> int:
        return 1

    def shapeless(self, x: Array) -> Array:
        """Twice the value."""
        return 2 * x


def test_a_bare_name_is_found() -> None:
    item = Public("Bare", Bare)
    found = [item, *methods(item)]
    assert undocumented(found) == ["Bare.silent"]
    assert unexampled(found) == ["Bare.silent", "Bare.shapeless"]
    assert unshaped(found) == ["Bare: field", "Bare.shapeless: x, return"]


@pytest.mark.parametrize(
    ("docstring", "found"),
    [
        ("x: (T, C) float64", True),
        ("answer: (O,)", True),
        ("a class ()", True),
        ("raw units (see above)", False),
        ("it is (N) of them", True),
        ("call reset() first", False),
    ],
)
def test_a_shape_is_found(docstring: str, found: bool) -> None:
    assert bool(SHAPE.search(docstring)) is found


# --- examples ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples read: mine.csv, mine.toml, runs/mine, mine.edge and a few more."""
    import torch

    import edge_lstm as el

    folder = tmp_path_factory.mktemp("examples")
    rng = np.random.default_rng(0)
    rows = ["recording,activity,ax,ay,az"]
    for k in range(24):
        walks = k % 2
        for x in rng.normal(size=(20, 3)) * (1 + 4 * walks) + 3 * walks:
            rows.append(f"{k},{'walk' if walks else 'rest'}," + ",".join(f"{v:.3f}" for v in x))
    (folder / "mine.csv").write_text("\n".join(rows) + "\n")
    (folder / "mine.toml").write_text(MINE)
    np.save(folder / "samples.npy", rng.normal(size=(20, 3)))
    np.save(folder / "stream3.npy", rng.normal(size=(200, 3)).astype(np.float32))
    np.save(folder / "stream.npy", rng.normal(size=(30, 1)))
    write(folder / "prose.edge", speaker(), rng.integers(0, 9, (40, 1)).astype(np.float64))
    write(folder / "watched.edge", watcher(), rng.normal(size=(40, 1)))
    write(folder / "heard.edge", listener(), rng.normal(size=(40, 4)))
    run = el.train(folder / "mine.toml", folder / "runs/mine", quiet=True, figures=False)
    x = np.concatenate([sequence.x for sequence in run.splits.test])
    write(folder / "mine.edge", run.spec, x, run.weights)
    torch.manual_seed(0)
    write_onnx(folder / "net.onnx")
    (folder / "allowed_signers").write_text(f"me {KEY}\n")
    return folder


def write(path: Path, spec: rt.ModelSpec, x: Array, weights: Weights | None = None) -> None:
    """A bundle, of random weights if there are none. x: (steps, C) its golden samples."""
    weights = random_weights(spec, 0) if weights is None else weights
    golden = write_npz({"x": x, "y": network_outputs(spec, weights, x)})
    rt.write_bundle(path, spec, weights, {"golden.npz": golden})


def speaker() -> rt.ModelSpec:
    """A model of text of nine characters, and one for all others."""
    return language_spec([UNKNOWN, *" ehmnorst"], hidden=8)


def watcher() -> rt.ModelSpec:
    """A model that watches one channel, a step ahead."""
    detector = Detector(threshold=0.987, centre=(0.0,), scale=(1.0,))
    answer = Forecast(("v",), 1, (0.0,), (1.0,), detector=detector)
    return rt.ModelSpec(Channels(("v",), (0.0,), (1.0,)), chain(1, 4, 1, 1), answer)


def listener() -> rt.ModelSpec:
    """A model of sound: four mel bands of frames of 16 ms."""
    sound = rt.FrontEnd("log-mel", 8000, 128, 128, 128, 4, 0, 20, 4000)
    inputs = Channels(sound.names, (0.0,) * 4, (1.0,) * 4, front_end=sound)
    return rt.ModelSpec(inputs, chain(4, 8, 1, 2), Classify(("no", "yes")))


def write_onnx(path: Path) -> None:
    """A step graph with an LSTM's operator, of 3 inputs, 8 units and 2 outputs."""
    from edge_lstm_export.graphs.bundle import build

    spec = make_spec(channels=3, hidden=8, layers=1, outputs=2)
    graph = build(spec, random_weights(spec, 0), "fused")
    path.write_bytes(graph.SerializeToString(deterministic=True))


@pytest.mark.parametrize("name", NAMES, ids=[name.where for name in NAMES])
def test_examples_are_right(name: Public, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is run by itself, in a folder with the files that it names, with no name defined."""
    monkeypatch.chdir(folder)
    finder = doctest.DocTestFinder(recurse=False)
    documented = [name, *methods(name)]
    ran = 0
    for item in documented:
        for test in finder.find(Documented(item), item.where, module=False, globs={}):
            lines: list[str] = []
            result = doctest.DocTestRunner(verbose=False).run(test, out=lines.append)
            assert not result.failed, "".join(lines)
            ran += result.attempted
    assert ran, f"{name.where} has no example"


class Documented:
    """What doctest looks at: a docstring, and nothing else of the thing."""

    def __init__(self, item: Public):
        self.__doc__ = item.docstring
        self.__name__ = item.where
