"""ONNX nets that no list of layers describes, taken as one step with states."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import edge_lstm_runtime as rt
from edge_lstm_export import export_run
from edge_lstm_export.c.export import export_c
from edge_lstm_export.graphs.step_npu import four_d
from edge_lstm_export.imported import import_net
from edge_lstm_runtime import BackendUnavailableError, ConversionError
from edge_lstm_runtime.model.step_graph import StepGraph
from helpers.commands import here
from helpers.converter import NEEDS_CONVERTER
from helpers.onnx_nets import Builder, Ends, made, saved, step
from helpers.step_nets import INPUTS, SAMPLES, STEPS, UNITS, frames, hidden, turned, unrolled

CLOSE = 1e-5  # float32 sums of other orders, carried; the outputs are of the order of 1
DATA = Path(os.environ.get("EDGE_LSTM_DATA", "none")) / "nets"
Build = Callable[[Builder], Ends]


def features(ends: Ends) -> int:
    return int(np.prod([n for n in next(iter(ends.inputs.values())) if isinstance(n, int)]))


def stream(count: int, size: int) -> Any:
    return np.random.default_rng(5).normal(size=(count, size)).astype(np.float32)


def of_file(model: onnx.ModelProto, ends: Ends, xs: Any) -> Any:
    """(T, O) of the file in ONNX Runtime, the states carried here. Without states: in one call."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x, sizes = next(iter(ends.inputs.items()))
    shape = [n if isinstance(n, int) else 1 for n in sizes]
    if not ends.states:
        return session.run(None, {x: xs.reshape(len(xs), *shape[1:])})[0].reshape(len(xs), -1)
    state = {name: np.zeros(ends.inputs[name], np.float32) for name in ends.states}
    found = []
    for row in xs:
        values = session.run(list(ends.outputs), {x: row.reshape(shape), **state})
        by_name = dict(zip(ends.outputs, values, strict=True))
        state = {before: by_name[after] for before, after in ends.states.items()}
        found.append(by_name[ends.outputs[0]].ravel())
    return np.stack(found)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bundles")
    found = {}
    for name, build in STEPS.items():
        net = import_net(saved(folder / "net.onnx", build))
        found[name] = folder / f"{name.replace(' ', '-')}.edge"
        work = export_run(net, found[name], schemes=())
        assert not work.left_out
        assert not work.doubts
    return found


@pytest.mark.parametrize("name", STEPS)
def test_a_bundle_answers_as_the_file(name: str, bundles: dict[str, Path]) -> None:
    model, ends = made(STEPS[name])
    xs = stream(400, features(ends))
    expected = of_file(model, ends, xs)
    loaded = rt.load(bundles[name])
    assert isinstance(loaded.spec.network, StepGraph)
    assert rt.check_backend(loaded.bundle, "onnx").passed
    for backend in ("onnx", "auto"):
        with loaded.session(backend) as session:
            first = session.run(xs[:150])
            state = session.state
            assert np.abs(np.concatenate([first, session.run(xs[150:])]) - expected).max() < CLOSE
            session.state = state
            assert np.abs(session.run(xs[150:200]) - expected[150:200]).max() < CLOSE
            session.reset()
            assert np.abs(session.run(xs[:10]) - expected[:10]).max() < CLOSE
    with loaded.session("onnx", streams=2) as session:
        both = session.run(np.stack([xs[:20], xs[20:40]], axis=1))
        assert np.abs(both[:, 0] - expected[:20]).max() < CLOSE


def test_the_golden_answers_are_those_of_float64(bundles: dict[str, Path]) -> None:
    """The unrolled cell by its equations. The weights are those of the builder, in its order."""
    model, _ = made(unrolled)
    weights = {t.name: onnx.numpy_helper.to_array(t).astype(float) for t in model.graph.initializer}
    W = weights["w0"]
    b = weights["w1"]
    head = next(w for w in weights.values() if w.shape == (4, 2))
    bundle = rt.load(bundles["an unrolled cell"]).bundle
    x, y = bundle.golden
    h = c = np.zeros(UNITS)
    for row, right in zip(x, y, strict=True):
        i, f, g, o = np.split(np.concatenate([row.astype(np.float32), h]) @ W + b, 4)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = c / (1 + np.abs(c)) / (1 + np.exp(-o))
        assert np.abs(h @ head - right).max() < 1e-12
    assert bundle.manifest["reference"].endswith("in float64")


def test_float32_is_the_reference_if_onnx_has_no_other(tmp_path: Path) -> None:
    """Gelu by ONNX Runtime's own operator, which onnx.reference does not have."""

    def build(b: Builder) -> Ends:
        y = b.recurrent("GRU", b.add("Exp", "x"), (INPUTS, UNITS), ["h"], ["hn"])
        b.add("Relu", b.squeezed(y, 0, 1), to="y")
        return Ends({"x": (1, 1, INPUTS), "h": (1, 1, UNITS)}, ["y", "hn"], {"h": "hn"})

    model, ends = made(build)
    (relu,) = (node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type = "Gelu"
    relu.domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save_model(model, tmp_path / "net.onnx")
    export_run(import_net(tmp_path / "net.onnx"), tmp_path / "net.edge", schemes=())
    bundle = rt.load(tmp_path / "net.edge").bundle
    assert "in float32, because onnx.reference" in bundle.manifest["reference"]
    assert "in float32, because onnx.reference" in (tmp_path / "net.html").read_text("utf-8")
    xs = stream(50, INPUTS)
    with rt.load(tmp_path / "net.edge").session("onnx") as session:
        assert np.abs(session.run(xs) - of_file(model, ends, xs)).max() < CLOSE


# --- states ---


@pytest.mark.parametrize("build", [frames, turned(frames)], ids=["in order", "turned"])
def test_an_operator_says_which_states_are_a_pair(build: Build, tmp_path: Path) -> None:
    net = import_net(saved(tmp_path / "net.onnx", build))
    assert "The states, before and after a step: h and hn, c and cn" in net.notes
    assert "One call of the file with all steps answers as its steps one by one" in net.notes


def refused(path: Path, build: Build, *said: str, **options: Any) -> None:
    with pytest.raises(ConversionError) as caught:
        import_net(saved(path, build), **options)
    for part in said:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_states_in_the_wrong_order_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    refused(path, turned(unrolled), "the old value of 'c' goes on in 'cn'", "use --state")
    net = import_net(path, states={"h": "hn", "c": "cn"})
    assert "The states, before and after a step: h and hn, c and cn" in net.notes
    crossed = import_net(path, states={"h": "cn", "c": "hn"})
    assert any(note.startswith("--state is followed, though the old") for note in crossed.notes)


def in_a_row(*after: str) -> Build:
    """Two cells of one size. after: their states in the file's order."""

    def build(b: Builder) -> Ends:
        below = "x"
        for name, size in (("a", INPUTS), ("b", UNITS)):
            sums = [b.add("MatMul", below, b.random(size, UNITS))]
            sums.append(b.add("MatMul", name, b.random(UNITS, UNITS)))
            below = b.add("Softsign", b.add("Add", *sums), to=f"{name}n")
        b.add("MatMul", "bn", b.random(UNITS, 2), to="y")
        shapes = {"x": (1, INPUTS), "a": (1, UNITS), "b": (1, UNITS)}
        return Ends(shapes, ["y", *after], {"a": "an", "b": "bn"})

    return build


def test_states_of_cells_in_a_row(tmp_path: Path) -> None:
    pairs = "The states, before and after a step: a and an, b and bn"
    right = import_net(saved(tmp_path / "right.onnx", in_a_row("an", "bn")))
    assert pairs in right.notes
    path = tmp_path / "net.onnx"
    said = "the old value of 'b' changes nothing of its pair 'an'"
    refused(path, in_a_row("bn", "an"), said, "use --state")
    assert pairs in import_net(path, states={"a": "an", "b": "bn"}).notes


@pytest.mark.parametrize(
    ("build", "states", "said"),
    [
        (frames, {"h": "cn", "c": "hn"}, "--state h=cn: the net's own operators hold 'h' in 'hn'"),
        (step("LSTM"), {"h": "cn", "c": "hn"}, "hold 'h' in 'hn' after the step, not in 'cn'"),
        (
            frames,
            {"h": "nope"},
            "there is no output 'nope' that may be a state; they are y, hn, cn",
        ),
        (frames, {"x": "hn"}, "there is no input 'x' that may be a state; they are h, c"),
        (frames, {"h": "hn", "c": "hn"}, "the output 'hn' is given twice"),
        (unrolled, {"h": "y"}, "'h' is (1, 4), and 'y' is (1, 2); expected the same shape"),
    ],
)
def test_a_state_that_can_not_be_is_refused(
    build: Build, states: dict[str, str], said: str, tmp_path: Path
) -> None:
    refused(tmp_path / "net.onnx", build, said, states=states)


def test_named_states_of_a_layered_net_are_confirmed(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", step("LSTM"))
    net = import_net(path, states={"h": "hn"})
    assert not isinstance(net.foreign.network, StepGraph)


def without(name: str, build: Build) -> Build:
    """Without an output."""

    def other(b: Builder) -> Ends:
        ends = build(b)
        return Ends(ends.inputs, [o for o in ends.outputs if o != name], ends.states)

    return other


def no_state(b: Builder) -> Ends:
    b.add("Exp", "x", to="y")
    return Ends({"x": ("T", 1, INPUTS)}, ["y"], {})


def idle(b: Builder) -> Ends:
    b.add("Exp", "x", to="y")
    b.add("Exp", "h", to="hn")
    return Ends({"x": (1, INPUTS), "h": (1, UNITS)}, ["y", "hn"], {"h": "hn"})


def ahead(b: Builder) -> Ends:
    """A convolution that reads the step after, before a GRU over all steps."""
    turned = b.add("Transpose", "x", perm=[1, 2, 0])
    conv = b.add("Conv", turned, b.random(INPUTS, INPUTS, 3), pads=[1, 1])
    back = b.add("Transpose", conv, perm=[2, 0, 1])
    b.squeezed(b.recurrent("GRU", back, (INPUTS, UNITS)), 1, to="y")
    return Ends({"x": ("T", 1, INPUTS)}, ["y"], {})


def course(b: Builder) -> Ends:
    """An If that depends on the input."""
    ends = unrolled(b)
    inner = [
        helper.make_graph(
            [helper.make_node(op, ["hn"], [f"{op}_out"])],
            op,
            [],
            [helper.make_tensor_value_info(f"{op}_out", TensorProto.FLOAT, [1, UNITS])],
        )
        for op in ("Exp", "Sqrt")
    ]
    large = b.add("Greater", b.add("ReduceMax", "x", keepdims=0), b.constant(0.0))
    b.add("If", large, to="z", then_branch=inner[0], else_branch=inner[1])
    return Ends(ends.inputs, ["z", "hn", "cn"], ends.states)


def not_a_number(b: Builder) -> Ends:
    ends = frames(b)
    b.add("Mul", "y", b.constant([np.nan]), to="z")
    return Ends(ends.inputs, ["z", "hn", "cn"], ends.states)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (without("cn", frames), "input 'c' of shape (1, 1, 4) is taken as a state, and no output"),
        (without("cn", unrolled), "input 'c' of shape (1, 4) is taken as a state, and no output"),
        (no_state, "it has no state: no input beside x, no recurrent operator over time"),
        (idle, "no state changes output 'y', so nothing is carried"),
        (course, "has graphs inside that depend on its inputs"),
        (not_a_number, "has NaN"),
    ],
)
def test_what_is_no_step_is_refused(build: Build, said: str, tmp_path: Path) -> None:
    refused(tmp_path / "net.onnx", build, "net.onnx: ", "and it can't be taken as one step", said)


def test_a_net_that_reads_ahead_is_refused(tmp_path: Path) -> None:
    """One step alone would be computable, without the step that it reads."""
    said = "one call of the file with 40 steps and its steps one by one differ"
    refused(tmp_path / "net.onnx", ahead, said, "it reads other steps", "the pairs are none")


def test_a_hidden_state_is_carried(tmp_path: Path) -> None:
    net = import_net(saved(tmp_path / "net.onnx", hidden))
    assert "One call of the file with all steps answers as its steps one by one" in net.notes
    assert any("starts these states at zero in each call" in note for note in net.notes)
    assert list(net.foreign.network.state.values()) == [UNITS]


def test_layout_0_is_dropped(tmp_path: Path) -> None:
    model, _ = made(frames)
    (lstm,) = (node for node in model.graph.node if node.op_type == "LSTM")
    lstm.attribute.append(helper.make_attribute("layout", 0))
    onnx.save_model(model, tmp_path / "net.onnx")
    made_of_it = import_net(tmp_path / "net.onnx").step
    assert made_of_it is not None
    names = {a.name for node in made_of_it.model.graph.node for a in node.attribute}
    assert "hidden_size" in names
    assert "layout" not in names


# --- the commands ---


@pytest.mark.parametrize("backend", ["numpy", "native", "native-fp16", "native-int8", "reference"])
def test_backends_of_layers_say_why_not(backend: str, bundles: dict[str, Path]) -> None:
    model = rt.load(bundles["frames"])
    said = "the net is an opaque step graph: Pad, Pow, Sqrt have no layer here; "
    with pytest.raises(BackendUnavailableError) as caught:
        model.session(backend)
    assert str(caught.value).startswith(said)
    with pytest.raises(BackendUnavailableError, match="opaque step graph"):
        rt.check_backend(model.bundle, backend)
    assert ("golden answers" in str(caught.value)) == (backend == "reference")


def test_the_commands(
    bundles: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = bundles["a buffer"]
    code, out, err = here(capfd, "check", path)
    assert code == 0, out + err
    assert out.startswith("onnx ")
    assert "numpy                              not here: the net is an opaque step graph: " in err
    code, out, err = here(capfd, "lint", path, "--target", "rk3588", "--scheme", "fp16")
    assert (code, out, err) == (0, "no findings\n", "")
    code, out, err = here(capfd, "info", path)
    assert code == 0, err
    assert "model     opaque step graph (Mul), 0 parameters" in out
    xs = stream(6, INPUTS)
    (tmp_path / "x.csv").write_text("x0,x1,x2\n" + "\n".join(",".join(map(str, x)) for x in xs))
    code, out, err = here(capfd, "run", path, "--input", tmp_path / "x.csv", "--backend", "onnx")
    assert code == 0, err
    values = [json.loads(line)["value"]["y1"] for line in out.splitlines()]
    past = np.concatenate([np.zeros((4, INPUTS)), xs])[:, 1] ** 2
    assert values == pytest.approx([past[k : k + 5].mean() for k in range(6)], rel=1e-5)
    code, out, err = here(capfd, "check", path, "--backend", "onnx", "--input", tmp_path / "x.csv")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "the golden answers in the bundle are the reference's" in err
    code, out, err = here(capfd, "bench", path, "--backend", "onnx", "--steps", "50")
    assert code == 0, err


def test_c_is_refused(bundles: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"opaque step graph: Pad, Pow, Sqrt have no"):
        export_c(bundles["frames"], tmp_path / "c")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--state", "h"], "--state is 'h'; expected IN=OUT, such as h=hn"),
        (["--state", "h=hn", "--state", "h=cn"], "the state 'h' is given twice, as 'hn' too"),
        (["--state", "z=hn"], "--state z=hn: there is no input 'z' that may be a state"),
        (
            ["--samples", "{folder}/x.npy", "--target", "rk3588", "--scheme", "w8a8"],
            "rk3588 w8a8: there is no int8 recipe for an opaque step graph",
        ),
        (
            ["--samples", "{folder}/x.npy", "--target", "ethos-u55-128"],
            "ethos-u55-128 a16w8: there is no int8 recipe for an opaque step graph; it is "
            "converted in fp16, which ethos-u55-128 does not have",
        ),
    ],
)
def test_a_wrong_word_is_one_line(
    words: list[str], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    np.save(folder / "x.npy", stream(30, SAMPLES))
    path = saved(folder / "net.onnx", frames)
    given = [word.format(folder=folder) for word in words]
    code, out, err = here(capfd, "import", path, *given, "-o", tmp_path / "a.edge")
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_states_of_another_kind_of_file_are_known(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "amp.nam").write_text("{}")
    code, _, err = here(
        capfd, "import", tmp_path / "amp.nam", "--state", "h=hn", "-o", tmp_path / "a.edge"
    )
    assert code == 2
    assert "states are named in ONNX files alone" in err


# --- for an NPU ---


@pytest.mark.parametrize("name", STEPS)
def test_the_form_for_an_npu_computes_the_same(name: str, bundles: dict[str, Path]) -> None:
    model, ends = made(STEPS[name])
    bundle = rt.load(bundles[name]).bundle
    given = onnx.load_from_string(bundle.member("model.onnx"))
    form = four_d(bundle.spec, given, stream(50, features(ends)))
    graph = form.graph
    assert max(o.version for o in graph.opset_import if not o.domain) <= 19
    for value in (*graph.graph.input, *graph.graph.output):
        sizes = [d.dim_value for d in value.type.tensor_type.shape.dim]
        assert len(sizes) == 4
        assert [sizes[0], *sizes[2:]] == [1, 1, 1]
    assert not any(n.op_type == "Pad" for n in graph.graph.node)
    assert all(n.attribute for n in graph.graph.node if n.op_type == "Conv")
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    shapes = {value.name: value.shape for value in session.get_inputs()}
    state = {n: np.zeros(s, np.float32) for n, s in shapes.items() if n != "x"}
    xs = stream(100, features(ends))
    rows = []
    for row in xs:
        y, *after = session.run(None, {"x": row.reshape(shapes["x"]), **state})
        state = dict(zip(state, after, strict=True))
        rows.append(y.ravel())
    assert np.abs(np.stack(rows) - of_file(model, ends, xs)).max() < CLOSE


@pytest.mark.slow
@NEEDS_CONVERTER
def test_on_the_simulator(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    public = DATA / "dtln_2.onnx"
    path = public if public.is_file() else saved(tmp_path / "net.onnx", frames)
    out = tmp_path / "net.edge"
    words = ["--target", "rk3588", "--scheme", "fp16"]
    code, said, err = here(capfd, "import", path, *words, "-o", out)
    assert code == 0, said + err
    bundle = rt.load(out).bundle
    rows = [row for row in bundle.manifest["accuracy"] if row["backend"] == "rknn-sim"]
    assert [row["nrmse"] <= 5e-3 for row in rows] == [True]
    operators = bundle.manifest["artifacts"]["rk3588-fp16.rknn"]["operators"]
    assert all(o["target"] == "NPU" for o in operators if not o["operator"].endswith("putOperator"))
    result = rt.check_backend(bundle, "rknn-sim", steps=50)
    assert result.passed
