"""The locks: whole, of one mind, and what the Makefile makes of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import edge_lstm_runtime as rt
from helpers.locks import LOCK, make_wheel, renew
from helpers.paths import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

script = renew()
FILES = [LOCK / f"{name}.txt" for name in ("desktop", "dev", "torch-cpu", "torch", "board")]
RKNN = script.ROOT / "export/edge_lstm_export/npu/rknn/requirements.txt"
FILES += [*script.CONVERTERS, script.PEERS]
PINS = {path: script.blocks(path.read_text("utf-8")) for path in FILES}


def requirement(block: str) -> Requirement:
    return Requirement(block.split(" \\\n")[0].strip())


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_package_has_an_exact_version_and_hashes(path: Path) -> None:
    assert PINS[path]
    text = path.read_text("utf-8")
    assert re.sub(r"^#.*\n", "", text, flags=re.MULTILINE) == "".join(PINS[path]), "more is in it"
    for block in PINS[path]:
        first, *hashes = block.rstrip("\n").split(" \\\n")
        assert re.fullmatch(r"==[^*,]+", str(requirement(block).specifier)), first
        assert hashes, f"{first} has no hash"
        assert [h for h in hashes if not re.fullmatch(r" {4}--hash=sha256:[0-9a-f]{64}", h)] == []
        assert len(set(hashes)) == len(hashes)


def test_all_that_the_project_asks_for_is_locked() -> None:
    asked = []
    for path in (ROOT / "pyproject.toml", ROOT / "deploy/pyproject.toml"):
        project = tomllib.loads(path.read_text("utf-8"))["project"]
        for lines in (project.get("dependencies", []), *project["optional-dependencies"].values()):
            asked += [Requirement(line) for line in lines]
    assert {"numpy", "torch", "rknn-toolkit-lite2"} <= {wanted.name for wanted in asked}
    locked = [requirement(b) for path in FILES[:5] for b in PINS[path] if path.stem != "torch-cpu"]
    for wanted in asked:
        if wanted.name == "edge-lstm":
            continue
        pins = [pin for pin in locked if canonical(pin.name) == canonical(wanted.name)]
        assert pins, f"{wanted} is not locked; run: make lock"
        for python in ("3.10", "3.11", "3.12", "3.13"):
            if not holds(wanted, python):
                continue
            versions = [str(p.specifier).removeprefix("==") for p in pins if holds(p, python)]
            assert all(map(wanted.specifier.contains, versions)), (
                f"{wanted}: {versions}; run: make lock"
            )


def holds(wanted: Requirement, python: str) -> bool:
    """Whether it is asked for on this Python."""
    versions = {"python_version": python, "python_full_version": f"{python}.0"}
    return wanted.marker is None or wanted.marker.evaluate(versions)


def test_the_board_has_the_desktops_numpy() -> None:
    numpy = [
        [b for b in PINS[LOCK / f"{n}.txt"] if b[:7] == "numpy=="] for n in ("desktop", "board")
    ]
    assert numpy[0] == numpy[1] != []


def test_there_is_one_torch() -> None:
    """In three files, and in those of `.venv` nothing of it that needs a GPU."""
    of = {p: [b for b in PINS[p] if requirement(b).name == "torch"] for p in FILES}
    (cpu,) = of[LOCK / "torch-cpu.txt"]
    (pypi,) = of[LOCK / "torch.txt"]
    assert of[RKNN] == [cpu]
    assert script.pin(cpu)[1] == f"{script.pin(pypi)[1]}+cpu"
    names = {requirement(b).name for path in FILES[:2] for b in PINS[path]}
    assert not {n for n in names if n.startswith(("torch", "triton", "nvidia", "cuda"))} - {
        "torchmetrics"
    }


def test_the_demo_needs_no_package_twice() -> None:
    """What the tests need besides is in a file of its own."""
    demo, tests = ({requirement(b).name for b in PINS[path]} for path in FILES[:2])
    assert not demo & tests
    assert {"onnx", "polars", "uv", "hatchling", "ziglang"} <= demo
    assert {"pytest", "ruff", "mypy", "ray", "optuna", "mkdocs-material"} <= tests


# --- the Makefile's environment, of a lock of two small packages, without a network ---


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The Makefile with a lock of our own. Wheels that fit it are in `wheels`."""
    if shutil.which("make") is None:
        pytest.skip("make is not here")
    folder = tmp_path / "project"
    (folder / "lock").mkdir(parents=True)
    (folder / "deploy").mkdir()
    for name in ("Makefile", "pyproject.toml", "deploy/pyproject.toml"):
        shutil.copyfile(ROOT / name, folder / name)
    for stem, name, version in (
        ("desktop", "probe", "1"),
        ("torch-cpu", "torch", "2+cpu"),
        ("torch", "torch", "2"),
    ):
        digest = make_wheel(folder / "wheels", name, f"build = {version!r}\n", version)
        pin = f"{name}=={version} --hash=sha256:{digest}\n"
        (folder / f"lock/{stem}.txt").write_text(pin)
    return folder


def make(project: Path) -> tuple[list[str], str]:
    """What the modules say that are in the environment then, and what make said.

    It ends early: the last step needs hatchling, which is not in this lock.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON", "MAKE"))}
    kept |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(project / "wheels")}
    kept |= {"PIP_CONFIG_FILE": os.devnull}
    command = ["make", f"PYTHON={sys.executable}", ".venv/ready"]
    done = subprocess.run(
        command, cwd=project, env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert not (project / ".venv/ready").exists()
    folder = "lib/python{}.{}/site-packages".format(*sys.version_info)
    modules = [project / ".venv" / folder / name for name in ("probe.py", "torch.py")]
    return [m.read_text() for m in modules if m.exists()], done.stdout + done.stderr


@pytest.mark.slow
def test_torch_for_the_cpu_is_taken_if_it_is_there(project: Path) -> None:
    there, said = make(project)
    assert there == ["build = '1'\n", "build = '2+cpu'\n"], said
    assert "hatchling" in said


@pytest.mark.slow
def test_else_that_of_pypi(project: Path) -> None:
    (project / "wheels/torch-2+cpu-py3-none-any.whl").unlink()
    there, said = make(project)
    assert there == ["build = '1'\n", "build = '2'\n"], said
    assert "no index of pip's has a locked torch for the CPU alone, so PyPI's is taken" in said


@pytest.mark.parametrize(
    ("name", "version", "left"),
    [("probe", "1", []), ("torch", "2+cpu", ["build = '1'\n"])],
)
def test_an_altered_package_is_refused(
    project: Path, name: str, version: str, left: list[str]
) -> None:
    """It is whole, of the right name and version, and its own RECORD fits."""
    digest = make_wheel(project / "wheels", name, "build = None\n", version)
    there, said = make(project)
    assert there == left, said
    assert "DO NOT MATCH THE HASHES" in said
    assert f"Got        {digest}" in said


# --- the whole lock ---


@pytest.mark.slow
def test_an_environment_is_made_from_the_lock(tmp_path: Path) -> None:
    """As on a fresh machine: it has what was locked, all of it fits together, and it works."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0 or shutil.which("make") is None:
        pytest.skip("no git repository or no make here")
    folder = tmp_path
    if (ROOT / ".venv" / "tests").exists() and "EDGE_LSTM_FRESH" not in os.environ:
        folder = ROOT  # `make` has made it for these tests. Once more takes minutes
    else:
        for name in filter(None, listed.stdout.split("\0")):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MAKE"))}

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=folder, env=kept, capture_output=True, text=True, check=False
        )
        if "NewConnectionError" in done.stderr:
            pytest.skip("no package index can be reached from here")
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("make", f"PYTHON={sys.executable}", ".venv/tests")
    python = ".venv/bin/python"
    run(python, "-m", "pip", "check")
    here = json.loads(run(python, "-m", "pip", "list", "--format", "json"))
    pins = [requirement(block) for path in FILES[:4] for block in PINS[path]]
    locked = {(canonical(pin.name), str(pin.specifier).removeprefix("==")) for pin in pins}
    unlocked = {(canonical(p["name"]), p["version"]) for p in here} - locked
    assert {name for name, _ in unlocked} <= {"edge-lstm", "edge-lstm-runtime", "pip"}
    assert run(".venv/bin/edge-lstm", "--version") == f"edge-lstm {rt.__version__}\n"
    assert run(python, "-c", "import torch; print(torch.ones(2).sum().item())") == "2.0\n"
