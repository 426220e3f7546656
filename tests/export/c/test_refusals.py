"""What an export to C refuses, and what becomes of the folder it writes."""

from __future__ import annotations

import errno
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_lstm_export import export_c
from edge_lstm_export.c import block, build, export, folder
from edge_lstm_runtime import ConfigError, ConversionError, ModelSpec
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.layers.dense import Dense
from edge_lstm_runtime.layers.lstm import Lstm
from edge_lstm_runtime.model.network import Network
from edge_lstm_runtime.verify.error import Tolerance
from helpers.c_folder import contents, passed, run
from helpers.specs import chain

pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None or shutil.which("make") is None,
    reason="gcc and make are not installed",
)


# --- refusals ---


def test_source_that_is_out_of_tolerance_here_is_not_exported(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(
        export, "_tolerance", lambda *_: Tolerance("max_abs", 1e-12, "nothing is that good")
    )
    with pytest.raises(
        ConversionError, match=r"out of tolerance here, built by cc [0-9.]+ -O2 for \w+: .*FAIL"
    ):
        export_c(trained, tmp_path / "motions")
    assert list(tmp_path.iterdir()) == []


def test_int8_that_is_not_usable_is_refused(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "run_int8", lambda *_: np.zeros((200, 4)))
    with pytest.raises(
        ConversionError, match=r"int8 is out of tolerance: NRMSE .* use --scheme float32"
    ):
        export_c(trained, tmp_path / "motions", scheme="int8")


def with_network(spec, network):
    return ModelSpec(spec.inputs, network, spec.answer)


def test_models_that_the_kernel_does_not_take(random_model):
    spec, _ = random_model(1, 8)
    wide, _ = random_model(1, 8, channels=16385)
    with pytest.raises(
        ConversionError, match="layer 'lstm0' reads 16385 values and the kernel takes up to 16384"
    ):
        block.check_sizes(wide, "float32")
    with pytest.raises(
        ConversionError, match=r"the model has \d+ bytes; the C kernel takes up to 2147483647"
    ):
        block.check_sizes(with_network(spec, chain(6, 16384, 1, 4)), "float32")
    with pytest.raises(ConversionError, match="the model is bidirectional"):
        block.check_sizes(with_network(spec, chain(6, 8, 1, 4, bidirectional=True)), "float32")


def test_a_network_that_the_kernel_does_not_take(random_model):
    spec, _ = random_model(1, 8)
    layers = (Lstm("a", ("x",) * 5, 8), Dense("head", ("a",), 4))
    with pytest.raises(ConversionError, match=r"layer 'a' reads 5 others .* takes up to 4"):
        block.check_sizes(with_network(spec, Network(6, layers)), "float32")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--scheme", "w8a8"],
            "scheme 'w8a8' is not offered for target c; expected one of float32, int8",
        ),
        (
            ["--scheme", "int8", "--scheme", "float32"],
            "a C folder holds one model and --scheme names 2",
        ),
        (
            ["--target", "rk3588"],
            "--target c writes a folder of C source and rk3588 a bundle: there is no C source for "
            "Rockchip; export twice",
        ),
        (
            ["--target", "ethos-u55-128", "--target", "ethos-u65-256"],
            "a C folder is for one NPU and --target names 2: ethos-u55-128, ethos-u65-256",
        ),
        (
            ["--target", "ethos-u55-128"],
            "is made from a bundle that has its model; first export the run with",
        ),
        (
            ["--target", "ethos-u55-128", "--scheme", "w8a8"],
            "scheme 'w8a8' is not offered for ethos-u55-128",
        ),
        (
            ["--target", "ethos-u55-128", "--scheme", "a8w8", "--scheme", "a16w8"],
            "a C folder holds one model for ethos-u55-128 and --scheme names 2: a8w8, a16w8",
        ),
        (["--chunk", "8"], "--chunk is for an NPU's bundle"),
        (["--sim-steps", "0"], "--sim-steps is for an NPU's bundle"),
        (["--no-npu"], "--no-npu is for an NPU's bundle"),
        (["-o", "there.edge"], "leave .edge out"),
        (["-o", "nowhere/motions"], "is not there"),
    ],
)
def test_command_line_refuses_in_one_line(
    trained, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(trained.path), "--target", "c", "-o", "motions", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_exported_to_c_alone(mask, tmp_path):
    assert main(["export", str(mask), "--target", "rk3588", "-o", str(tmp_path / "x.edge")]) == 2


def test_command_line(trained, tmp_path, capsys):
    out = tmp_path / "motions"
    assert (
        main(["export", str(trained.path), "--target", "c", "--scheme", "int8", "-o", str(out)])
        == 0
    )
    said = capsys.readouterr().out
    info = json.loads((out / "model.json").read_text())
    assert re.search(
        rf"^int8 +{info['bytes']['flash_model']} B +{info['bytes']['ram']} B .*<- in the folder$",
        said,
        re.MULTILINE,
    )
    assert re.search(r"^self-test  largest error .*limit of the NRMSE", said, re.MULTILINE)
    assert main(["targets"]) == 0
    assert re.search(r"^c .*float32, int8", capsys.readouterr().out, re.MULTILINE)
    assert main(["targets", "c"]) == 0


# --- the folder ---


@pytest.mark.usefixtures("unbuilt")
def test_an_export_is_replaced_with_its_builds_and_leaves_nothing_beside_it(
    trained, made, tmp_path
):
    passed(run("make", "test", cwd=made))
    export_c(trained, made, scheme="int8")
    assert json.loads((made / "model.json").read_text())["scheme"] == "int8"
    assert not (made / "build").exists()
    (tmp_path / "empty").mkdir()
    export_c(trained, tmp_path / "empty")
    assert {p.name for p in tmp_path.iterdir()} == {"motions", "empty"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "main.c",
            "mine",
            "files that the export did not write, or that were changed since: main.c;",
        ),
        ("mine.c", "mine", "were changed since: mine.c;"),
        ("model.json", '{"made_by": "somebody"}', "is no C export of edge-lstm"),
        ("model.json", "[]", "is no C export of edge-lstm"),
    ],
)
@pytest.mark.usefixtures("unbuilt")
def test_what_somebody_put_there_stays(trained, made, name, content, message):
    (made / name).write_text(content)
    before = contents(made)
    with pytest.raises(ConversionError, match=re.escape(message)):
        export_c(trained, made)
    assert contents(made) == before


@pytest.mark.usefixtures("unbuilt")
def test_a_foreign_folder_a_file_and_a_link_are_refused(trained, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "mine.c").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "foreign")
    for name, message in (
        ("file", "is no folder"),
        ("foreign", "is no C export"),
        ("link", "is no folder"),
    ):
        with pytest.raises(ConversionError, match=message):
            export_c(trained, tmp_path / name)
    assert (tmp_path / "foreign" / "mine.c").read_text() == "mine"


def test_a_full_disk_leaves_the_old_one(trained, made, tmp_path, monkeypatch):
    before = contents(made)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folder, "fill", full)
    monkeypatch.setattr(build, "fill", full)
    with pytest.raises(
        ConversionError,
        match=r"can't write .*: No space left on device; what was there before is unchanged",
    ):
        export_c(trained, made, scheme="int8")
    assert contents(made) == before
    assert [p.name for p in tmp_path.iterdir()] == ["motions"]


@pytest.mark.usefixtures("unbuilt")
@pytest.mark.parametrize(("renames", "scheme"), [(1, "float32"), (2, "int8")])
def test_an_interruption_just_after_a_rename(trained, made, tmp_path, monkeypatch, renames, scheme):
    """The first one moves the old folder away, the second one puts the new one in its place."""
    rename = Path.rename
    done: list[Path] = []

    def interrupted(path: Path, to: Path) -> Path:
        done.append(rename(path, to))
        if len(done) == renames:
            raise KeyboardInterrupt
        return done[-1]

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_c(trained, made, scheme="int8")
    assert json.loads((made / "model.json").read_text())["scheme"] == scheme
    assert [p.name for p in tmp_path.iterdir()] == ["motions"]


def test_unknown_scheme_in_the_library(trained, tmp_path):
    with pytest.raises(ConfigError, match="scheme 'fp16' is not offered for target c"):
        export_c(trained, tmp_path / "motions", scheme="fp16")
