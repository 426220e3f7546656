"""An imported net on its way: the verb, the bundle, its report, C, an NPU's simulator."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edge_lstm_runtime as rt
from edge_lstm_export import export_run, from_torch, import_net
from edge_lstm_export.c.export import export_c
from helpers.bundles import make_bundle
from helpers.commands import environment, here
from helpers.converter import NEEDS_CONVERTER
from helpers.jobs import NET

XS = np.random.default_rng(3).normal(size=(800, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "amp.json"
    path.write_text(NET)
    np.save(path.with_name("xs.npy"), XS)
    np.savetxt(path.with_name("xs.csv"), XS, header="volts", comments="", fmt="%.9g")
    return path


def reference() -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The LSTM of one unit of NET by its equations, in the order of Keras, i, f, g, o."""
    h = c = 0.0
    found = []
    for (x,) in XS.astype(np.float64):
        i, f, g, o = (
            w * x + u * h + b
            for w, u, b in zip(
                (0.5, 0.5, 1.0, 0.5), (0.1, 0.2, 0.3, 0.4), (0, 1, 0, 0), strict=True
            )
        )
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        found.append([1.5 * h + 0.25])
    return np.array(found)


@pytest.mark.parametrize("samples", ["xs.npy", "xs.csv"])
def test_it_runs_as_the_original(
    samples: str, net: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "amp.edge"
    code, said, err = here(capfd, "import", net, "--samples", net.with_name(samples), "-o", out)
    assert code == 0, err
    assert "amp.json is the same here as in PyTorch " in err
    model = rt.load(out)
    for name in ("numpy", "native", "onnx"):
        with model.session(name) as session:
            assert np.abs(session.run(XS) - reference()).max() < 1e-5, name
    with model.session("native-int8") as session:
        assert np.abs(session.run(XS) - reference()).max() < 0.02
    assert "synthetic" not in said
    page = out.with_suffix(".html").read_text("utf-8")
    assert "The answers differ from those of the original net by at most" in page
    assert "amp.json, imported; proved against PyTorch" in page


def test_without_samples_they_are_made_and_it_says_so(
    net: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "amp.edge"
    code, said, err = here(capfd, "import", net, "-o", out)
    assert code == 0, err
    assert "note: no int8 weights for CPUs were made: they are calibrated with real inputs" in said
    page = out.with_suffix(".html").read_text("utf-8")
    assert "The samples are synthetic: 3,000 steps" in page
    assert "1000 steps of made samples (600 steps, repeated), streamed one by one" in page
    assert "real test data" not in page
    assert "<h2>Training" not in page
    text = net.with_name("x0.csv")
    text.write_text("x0\n" + "\n".join(map(str, XS[:5, 0].tolist())))
    code, said, _ = here(capfd, "run", out, "--input", text, "--backend", "numpy")
    values = [json.loads(line)["value"]["y0"] for line in said.splitlines()]
    assert code == 0
    assert values == pytest.approx(reference()[:5, 0], abs=1e-6)


def test_c(net: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert here(capfd, "import", net, "-o", tmp_path / "amp.edge")[0] == 0
    made = export_c(tmp_path / "amp.edge", tmp_path / "c", scheme="float32")
    assert made.schemes["float32"].comparison.max_abs < 1e-5
    assert made.built.compiler
    assert made.built.verdict.startswith("largest error")  # of the program that was built and run


def test_a_bundle_is_exported_again(
    net: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It was imported without samples. With them it gets int8 weights."""
    first = tmp_path / "first.edge"
    again = tmp_path / "again.edge"
    assert here(capfd, "import", net, "-o", first)[0] == 0
    code, _, err = here(
        capfd, "export", first, "--no-npu", "--samples", net.with_name("xs.npy"), "-o", again
    )
    assert code == 0, err
    with rt.load(again).session("native-int8") as session:
        assert np.abs(session.run(XS) - reference()).max() < 0.02
    page = again.with_suffix(".html").read_text("utf-8")
    assert "Made from the bundle first.edge, whose net was proved when it was imported" in page


def test_the_endings_are_known_without_heavy_libraries() -> None:
    """`edge-lstm import --help` lists them."""
    code = (
        "import sys; from edge_lstm_export.importers import endings; endings(); "
        "print({'onnx', 'onnxruntime', 'torch', 'keras', 'h5py'} & set(sys.modules))"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment())
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{own}"], r"own\.edge: is a bundle of a net that was trained here: export the run that"),
        (["{own}", "--target", "rk3588", "--scheme", "w8a8"], "w8a8 on rk3588 is calibrated with"),
        (["{folder}", "--samples", "x.npy"], "--samples is for the bundle of an imported net"),
        (["{own}", "--target", "c", "--samples", "x.npy"], "--samples is for an NPU's bundle"),
        (["nope.edge"], r"nope\.edge: there is no such file"),
    ],
)
def test_a_bundle_that_is_not_exported_again(
    words: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.edge"
    make_bundle(own)
    given = [word.format(own=own, folder=tmp_path) for word in words]
    out = tmp_path / "out.edge"
    code, said, err = here(capfd, "export", *given, "-o", out)
    assert (code, said) == (2, "")
    (line,) = err.splitlines()
    assert re.search(message, line), line
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nope.nam"], "nope.nam: there is no such file"),
        (["{net}", "--samples", "nope.npy"], "nope.npy: there is no such file"),
        (["{net}", "--target", "rk3599"], "there is no target 'rk3599'; did you mean 'rk3"),
        (["{net}", "--target", "c"], "--target c takes a bundle; import first"),
        (["{net}", "--scheme", "w8a8"], "--scheme is for an NPU; name it by --target"),
        (
            ["{net}", "--target", "rk3588", "--scheme", "w8a8"],
            "w8a8 on rk3588 is calibrated with real",
        ),
        (
            ["{folder}/xs.npy"],
            "the ending '.npy' is of no known kind of net",
        ),
        (["{net}", "--samples", "{folder}/wide.npy"], r"shape \(20, 2\), expected \(steps, 1\)"),
        (["{net}", "--samples", "{folder}/few.npy"], "has 9 samples, expected 10 or more"),
        (["{net}", "--samples", "{folder}/nan.npy"], "value 0 of row 0 is nan; expected a finite"),
        (["{net}", "--samples", "{folder}/one.npy"], "has 1 sample, expected 10 or more"),
        (["{net}", "--samples", "{folder}/huge.npy"], r"value 0 of row 19 is 1e\+300; expected a "),
        (["{net}", "--samples", "{folder}/bare.csv"], "the first line has numbers alone; expected"),
        (["{net}", "--samples", "{folder}/twice.csv"], "the header has 'a' twice"),
        (
            ["{net}", "--samples", "{folder}/word.csv"],
            "'a', row 2: 'x' is no number; correct the cell$",
        ),
        (["{net}", "--samples", "{folder}/text.npy"], r"text\.npy: can't be read: "),
        (
            ["{net}", "--samples", "{net}"],
            r"amp\.json: expected samples in a \.npy, a \.csv or a \.wav file$",
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    words: list[str], message: str, net: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = net.parent
    np.save(folder / "wide.npy", np.zeros((20, 2)))
    np.save(folder / "few.npy", np.zeros((9, 1)))
    np.save(folder / "nan.npy", np.full((20, 1), np.nan))
    np.save(folder / "one.npy", np.ones((1, 1)))
    huge = np.zeros((20, 1))
    huge[19] = 1e300
    np.save(folder / "huge.npy", huge)
    (folder / "bare.csv").write_text("0.5\n" * 20)
    (folder / "word.csv").write_text("a\n1\nx\n")
    (folder / "twice.csv").write_text("a,a\n" + "1,2\n" * 20)
    (folder / "text.npy").write_text("no numbers")
    given = [word.format(net=net, folder=folder) for word in words]
    code, out, err = here(capfd, "import", *given, "-o", tmp_path / "a.edge")
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert re.search(message, line), line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", ["import", "export"])
@pytest.mark.parametrize("over", ["net", "samples", "a link to the net", "the report's name"])
def test_what_is_read_is_not_replaced(
    verb: str, over: str, net: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / ("amp.json" if verb == "import" else "amp.edge")
    model.write_bytes(net.read_bytes())  # not looked at yet
    samples = tmp_path / "xs.npy"
    np.save(samples, XS)
    (tmp_path / "link.edge").symlink_to(model.name)
    (tmp_path / "new.html").symlink_to(model.name)
    out = {"net": model.name, "samples": "xs.npy", "a link to the net": "link.edge"}
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    words = ["--samples", samples, "-o", tmp_path / out.get(over, "new.edge")]
    code, said, err = here(capfd, verb, model, *words, *(["--no-npu"] * (verb == "export")))
    assert (code, said) == (2, "")
    assert err.endswith(" is read, and would be replaced; name another -o\n")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


class Two(nn.Module):
    """Two inputs, three outputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gru = nn.GRU(2, 3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.gru(x)[0]
        return y


def test_a_header_names_the_inputs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of a net without names. A bundle finds its columns by them, in any order."""
    rows = XS[:, 0].reshape(400, 2)
    np.savetxt(tmp_path / "a.csv", rows, header="left,right", comments="", delimiter=",")
    np.savetxt(tmp_path / "b.csv", rows[:, ::-1], header="right,left", comments="", delimiter=",")
    np.savetxt(tmp_path / "c.csv", rows, header="left,up", comments="", delimiter=",")
    np.savetxt(tmp_path / "d.csv", rows, header="p,q", comments="", delimiter=",")
    net = from_torch(Two(), torch.zeros(1, 9, 2), samples=tmp_path / "a.csv")
    assert net.spec.inputs.names == ("left", "right")
    export_run(net, tmp_path / "net.edge", schemes=())
    capfd.readouterr()
    code, said, _ = here(capfd, "run", tmp_path / "net.edge", "--input", tmp_path / "b.csv")
    assert code == 0
    assert len(said.splitlines()) == 400
    for name in ("a", "b", "d"):
        again = import_net(tmp_path / "net.edge", tmp_path / f"{name}.csv")
        assert np.abs(again.samples - rows).max() < 1e-6, name
        assert again.spec.inputs.names == ("left", "right")
    with pytest.raises(rt.ConversionError, match="has the column 'up'; the inputs are left, right"):
        import_net(tmp_path / "net.edge", tmp_path / "c.csv")


@pytest.mark.slow
@NEEDS_CONVERTER
def test_on_the_simulator(net: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "amp.edge"
    words = ["--samples", net.with_name("xs.npy"), "--target", "rk3588", "--scheme", "fp16"]
    code, said, err = here(capfd, "import", net, *words, "-o", out)
    assert code == 0, said + err
    with rt.load(out).session("rknn-sim") as session:
        y = session.run(XS[:300])
    right = reference()[:300]
    assert np.sqrt(np.mean((y - right) ** 2)) / right.std() < 5e-3
