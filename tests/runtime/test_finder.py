"""The finder of things by name: files of a folder, and plug-ins."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edge_lstm_runtime import BackendError, BackendUnavailableError, ConfigError
from edge_lstm_runtime.registry import Registry
from helpers.commands import environment


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Two built-in shapes, a file that is none, and two plug-ins, one of them also built in."""
    folder = tmp_path / "shapes_of_the_test"
    (folder / "round").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "long_box.py").write_text("SHAPE = 'box'\n")
    (folder / "round" / "__init__.py").write_text("SHAPE = 'ball'\n")
    (folder / "helper.py").write_text("pi = 3\n")
    (tmp_path / "cones_of_the_test.py").write_text("SHAPE = 'cone'\n")
    info = tmp_path / "cones-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cones\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[test.shapes]\ncone = cones_of_the_test\nround = cones_of_the_test:anything\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return Registry(
        "shapes_of_the_test", "test.shapes", "shape", "SHAPE", broken=BackendUnavailableError
    )


def test_the_folder_is_listed_once(shapes: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = []
    original = pkgutil.iter_modules

    def counted(path: Any = None, prefix: str = "") -> Any:
        listed.append(list(path))
        return original(path, prefix)

    monkeypatch.setattr(pkgutil, "iter_modules", counted)
    for _ in range(3):
        assert shapes.names() == ["cone", "long-box", "round"]
    assert len(listed) == 1


def test_a_folder_that_joins_the_package_is_found(
    shapes: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "flat" not in shapes
    more = tmp_path / "more"
    more.mkdir()
    (more / "flat.py").write_text("SHAPE = 'sheet'\n")
    package = importlib.import_module(shapes.package)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(more)])
    assert shapes.load("flat").SHAPE == "sheet"
    assert shapes.names() == ["cone", "flat", "long-box", "round"]


def test_a_file_a_folder_and_a_plug_in_are_found(shapes: Registry) -> None:
    assert shapes.names() == ["cone", "long-box", "round"]
    assert [shapes.load(name).SHAPE for name in shapes.names()] == ["cone", "box", "ball"], (
        "what is built in comes first"
    )


@pytest.mark.parametrize(
    ("name", "near"),
    [
        *(("helper", ""), ("cube", ""), ("", ""), ("../helper", "")),
        *(("long_box", "did you mean 'long-box'? "), ("round.x", "did you mean 'round'? ")),
    ],
)
def test_an_unknown_name_is_told_the_known_ones(shapes: Registry, name: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        shapes.load(name)
    assert str(caught.value) == f"unknown shape {name!r}; {near}known here: cone, long-box, round"


@pytest.mark.usefixtures("shapes")
def test_the_errors_are_the_kinds_own() -> None:
    other = Registry(
        "shapes_of_the_test", "test.none", "shape", "SHAPE", unknown=BackendError, others=("any",)
    )
    with pytest.raises(
        BackendError, match=r"^unknown shape 'cone'; known here: any, long-box, round$"
    ):
        other.load("cone")


def test_plug_ins_are_not_asked_for_what_is_built_in(
    shapes: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listing the installed packages takes 15 ms."""
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda **_: pytest.fail("they were asked")
    )
    assert shapes.load("long-box").SHAPE == "box"


def test_what_no_distribution_has_is_not_asked_for(
    shapes: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = Registry("shapes_of_the_test", "test.none", "shape", "SHAPE")
    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.entry_points", lambda **_: pytest.fail("asked"))
        assert none.names() == ["long-box", "round"]
    assert shapes.names() == ["cone", "long-box", "round"]


def test_plug_ins_in_an_archive_and_of_another_finder_are_found(
    shapes: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "more.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("tubes-1.0.dist-info/METADATA", "Name: tubes\nVersion: 1.0\n")
        archive.writestr("tubes-1.0.dist-info/entry_points.txt", "[test.shapes]\ntube = tubes\n")
        archive.writestr("tubes.py", "SHAPE = 'tube'\n")
    monkeypatch.syspath_prepend(packed)
    assert shapes.load("tube").SHAPE == "tube"

    class Elsewhere(importlib.metadata.DistributionFinder):
        def find_distributions(self, context: Any = None) -> Any:  # noqa: ARG002
            return [importlib.metadata.PathDistribution(tmp_path / "far" / "rods.dist-info")]

    info = tmp_path / "far" / "rods.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: rods\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[test.shapes]\nrod = tubes\n")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Elsewhere()])
    monkeypatch.syspath_prepend(tmp_path / "another")  # a new path is a new question
    assert shapes.names() == ["cone", "long-box", "rod", "round", "tube"]


def test_the_facts_of_backends_bring_in_no_heavy_library() -> None:
    script = (
        "import sys\n"
        "from edge_lstm_runtime.backends.registry import known_facts\n"
        "facts = known_facts()\n"
        "print(*facts)\n"
        "print(*{m.split('.')[0] for m in sys.modules} & {'onnx', 'onnxruntime', 'rknnlite', "
        "'torch', 'polars', 'pydantic', 'jinja2'})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
        timeout=60,
    )
    names, heavy = done.stdout.split("\n")[:2]
    assert {"numpy", "onnx", "reference", "rknn", "rknn-sim"} <= set(names.split())
    assert heavy == ""
