"""A vendor of NPUs from another package: no file of ours knows it, and an export makes all that it
makes for another vendor's."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_lstm import Run
from edge_lstm_export import export_run, targets
from edge_lstm_export.npu.targets import by_vendor, find, known
from edge_lstm_export.npu.vendor import VENDORS, vendor
from edge_lstm_export.npu.worker import environment
from edge_lstm_export.slim.bundle import slim_bundle
from edge_lstm_runtime import ConfigError, Reference, check_backend, compare, load
from edge_lstm_runtime.backends.registry import open_backend
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.model.measured import Measured, read_measured
from helpers import toy_vendor
from helpers.plug_ins import plug_in

MEMBER = "toy-1-half.toy"


@pytest.fixture(scope="module", autouse=True)
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two entry points: the vendor, and the backend that is its simulator."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(toy_vendor.__file__, folder / "toy_npu.py")
    info = folder / "toy_npu-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-npu\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[edge_lstm.vendors]\ntoy = toy_npu\n[edge_lstm.backends]\ntoysim = toy_npu\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder), prepend=":")  # for processes of the tests
        yield folder
        sys.modules.pop("toy_npu", None)


@pytest.fixture(scope="module")
def made(trained: Run, tmp_path_factory: pytest.TempPathFactory):
    """Without RKNN's converter, so that one export has a vendor that runs and one that doesn't."""
    out = tmp_path_factory.mktemp("toy") / "toy.edge"
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment.platform, "machine", lambda: "arm64")
        work = export_run(trained, out, targets=("toy-1", "rk3588"), say=said.append)
    return work, said


def test_the_targets_are_grouped_by_vendor(capsys: pytest.CaptureFixture[str]) -> None:
    assert VENDORS.names() == ["ethos-u", "rknn", "toy"]
    assert main(["targets"]) == 0
    shown = capsys.readouterr().out
    arm, rockchip, rest = re.split("^Rockchip:$|^Toys:$", shown, flags=re.MULTILINE)
    assert arm.startswith("Arm Ethos-U:\n\ntarget ")
    assert "\nethos-u85-2048 " in arm
    assert rockchip.splitlines()[-2].startswith("Python there: ")
    assert rest.splitlines() == [
        "",
        "",
        "target            schemes              boards",
        "toy-1             half                 none",
        "toy-2             half, narrow         ?",
        "",
        "They are for play.",
        "",
        "target            schemes              boards",
        "c                 float32, int8        no NPU: any CPU, any microcontroller",
    ]


def test_one_target_with_its_documents(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets", "toy-1"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"schemes +half: float16 weights\n", told)
    assert re.search(r"boards +none +\[book\]\n", told)
    assert told.endswith("sources\n  book:2            A book on toys, section 2\n")


def test_a_target_belongs_to_its_vendor() -> None:
    assert known("toy-2").vendor == "toy"
    assert targets()["rk3588"].vendor == "rknn"
    grouped = by_vendor({"toy-1": ("half",), "rk3588": ("fp16",), "toy-2": ("narrow",)})
    assert [(one.name, its) for one, its in grouped] == [
        ("toy", {"toy-1": ("half",), "toy-2": ("narrow",)}),
        ("rknn", {"rk3588": ("fp16",)}),
    ]
    with pytest.raises(ConfigError, match="'toy-3' is unknown; did you mean 'toy-"):
        known("toy-3")
    with pytest.raises(ConfigError, match=r"'wide' .* toy-2.*\(wide on toy-2: it has no room\)"):
        find("toy-2", "wide")


def test_a_vendor_without_c_source_is_refused_in_a_folder_of_c(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--target", "c", "--target", "toy-1", "-o", str(tmp_path / "c")]
    assert main(["export", str(tmp_path / "any.edge"), *asked]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "there is no C source for Toys; export twice" in told
    with pytest.raises(ConfigError, match="there is no C source for Toys"):
        toy_vendor.VENDOR.c_source(None, "toy-1-half.toy", None)  # type: ignore[arg-type]


def test_two_vendors_with_one_target(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = dict(vendor("toy").targets())
    monkeypatch.setattr(vendor("toy"), "targets", lambda: {"rk3588": theirs["toy-1"]})
    with pytest.raises(ConfigError, match="vendors rknn and toy have both a target 'rk3588'"):
        targets()


def test_a_vendor_that_can_not_be_loaded_is_told_and_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plug_in(tmp_path, "odd", group="edge_lstm.vendors", broken="import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    why = "NPU vendor 'broken' can't be loaded: No module named 'no_such_package'"
    assert main(["targets"]) == 0
    out, err = capsys.readouterr()
    assert (out.count("\ntoy-"), err) == (2, f"{why}\n")
    assert known("rk3588").vendor == "rknn"
    with pytest.raises(ConfigError, match=f"'odd' is unknown; known: ethos.*rk.*toy-2; {why}$"):
        known("odd")


def test_a_vendor_under_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "from toy_npu import VENDOR\n"
    plug_in(tmp_path, "odd", group="edge_lstm.vendors", other=source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"'other' can't be loaded: its VENDOR is called 'toy'$"):
        vendor("other")


def test_the_artifact_is_right_and_streams(made, trained: Run) -> None:
    work, _ = made
    bundle = load(work.out).bundle
    entry = bundle.manifest["artifacts"][MEMBER]
    assert (entry["kind"], entry["target"], entry["scheme"]) == ("toy", "toy-1", "half")
    assert entry["test_split"]["verdict"] == "good"
    assert entry["candidates"][0]["cycles"] == 42
    assert entry["beside"] == ["toy.txt"]
    assert bundle.manifest["versions"]["toy"] == "1"
    figures = read_measured(bundle.manifest["accuracy"])[Measured("toysim", MEMBER)]
    assert figures["source"] == "ONNX Runtime, not a toy"
    x, _ = bundle.golden
    rows = trained.spec.features(x)
    exact = Reference(trained.spec, trained.weights).run(rows)
    with contextlib.closing(open_backend("toysim", bundle)) as backend:
        found = compare(backend.run(rows), exact)
    assert found.nrmse == pytest.approx(figures["nrmse"], rel=1e-6)
    assert 1e-6 < found.nrmse < 2e-3, "float16 weights show, and round as float16 does"
    check = check_backend(bundle, "toysim")
    assert check.passed
    assert check.artifact == MEMBER
    assert not work.left_out


def test_the_other_vendor_says_why_it_made_none(made) -> None:
    work, _ = made
    assert list(work.artifacts) == [MEMBER]
    first, second = work.notes[-2:]
    assert first == f"{MEMBER}: it can be played with"
    assert re.match(r"no RKNN model for rk3588 was made: rknn-toolkit2 .* linux arm64\. ", second)


def test_the_report_has_it(made) -> None:
    work, _ = made
    html = work.out.with_suffix(".html").read_text()
    assert f"<h2>{MEMBER}</h2>" in html
    assert re.search(r"blocks</td><td[^>]*>7</td><td[^>]*>counted by a child</td>", html)
    assert "NPU/total" not in html, "there is no table of operators"
    assert f"{MEMBER} on the simulator is good" in html


def test_slim_keeps_what_is_beside_it(made, tmp_path: Path) -> None:
    work, _ = made
    out = tmp_path / "slim.edge"
    slim_bundle(work.out, out, keep=("toy-1",))
    members = load(out).bundle.members
    assert {MEMBER, "toy.txt"} <= {*members}
    assert "cell.onnx" not in members


def test_lint_asks_the_vendor_of_the_target(made, capsys: pytest.CaptureFixture[str]) -> None:
    work, _ = made
    lint = ["lint", str(work.out), "--target", "toy-2", "--scheme"]
    assert main([*lint, "half"]) == 0
    assert capsys.readouterr().out == "no findings\n"
    assert main([*lint, "narrow"]) == 1
    found = capsys.readouterr().out
    assert re.match(r"error: columns: \w+ has \d+ columns, expected at most 8; use half\n", found)
    assert main(["lint", "--rules"]) == 0
    rules = capsys.readouterr().out
    assert "--- Toys ---\ncolumns (error)\n  A kernel has at most 8 columns in narrow.\n" in rules


def test_a_form_that_lint_refuses_is_not_converted(trained: Run, tmp_path: Path):
    out = tmp_path / "toy.edge"
    with pytest.raises(Exception, match="toy-2 narrow can't be made: rounded: columns: "):
        export_run(trained, out, targets=("toy-2",), schemes=("narrow",))
    assert not out.exists()


def test_a_converter_without_an_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["converter", "--vendor", "toy"]) == 2
    told = capsys.readouterr().err
    assert (
        told
        == "edge-lstm: error: the converter of 'toy' has no environment; those of: ethos-u, rknn\n"
    )
    assert main(["converter", "--vendor", "toi"]) == 2
    assert "unknown NPU vendor 'toi'; did you mean 'toy'?" in capsys.readouterr().err
