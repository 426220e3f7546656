"""What the documents print is run: the README and docs/install.md, each from an empty shell."""

from __future__ import annotations

import json
import platform
import re
import shlex
import subprocess
from pathlib import Path

import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime.cli import verbs
from helpers.documents import EMPTY, ON_BOARD, blocks
from helpers.paths import ROOT

INSTALL = (ROOT / "docs/install.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
SHORTENED = re.compile(r"^(edge-lstm (?:train|compare|search) .*?)(  +#.*)?$", re.MULTILINE)


def commands() -> list[str]:
    lines = [
        line.split("  #")[0].strip()
        for language, code in blocks(README)
        if language == "sh"
        for line in code.splitlines()
    ]
    return [line for line in lines if "edge-lstm " in line]


def script(board: Path) -> str:
    """The README as one shell's input. Training is cut to two epochs.

    board: a folder that stands for the board. It gets the wheel for this machine.
    """
    parts = ["set -e -o pipefail", f'scp() {{ cp "${{@:1:$#-1}}" {shlex.quote(str(board))}; }}']
    for number, (language, code) in enumerate(blocks(README)):
        parts.append(f"echo; echo block {number}")
        if language == "python":
            code = f"python - <<'PYTHON'\n{code}PYTHON\n"
        elif code.startswith(ON_BOARD):
            clean = shlex.join(
                ["env", "-i", f"PATH={board}/bin:{EMPTY['PATH']}", f"HOME={EMPTY['HOME']}"]
            )
            there = f"cd {shlex.quote(str(board))}; {clean} bash -e -o pipefail"
            code = f"({there} <<'BOARD'\n{code}BOARD\n)"
        parts.append(SHORTENED.sub(r"\1 --set train.epochs=2\2", code))
    return "\n".join(parts).replace("manylinux2014_aarch64", f"manylinux2014_{platform.machine()}")


@pytest.mark.slow
def test_readme_from_top_to_bottom_in_a_fresh_clone(clone: Path) -> None:
    """As a newcomer types it: `make demo`, then each block, a board's too."""
    board = clone.parent / "board"
    program = board / "bin" / "your-sensor-program"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nseq 20 | sed 's/.*/[0.1, -0.3, 0.2, 0.0, 0.1, 0.0]/'\n")
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", script(board)],
        cwd=clone,
        env=EMPTY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    said = re.split(r"^block \d+$", done.stdout, flags=re.MULTILINE)[1:]
    assert len(said) == len(blocks(README))
    for (language, code), output in zip(blocks(README), said, strict=True):
        answers = output.count('"label"')
        if code.startswith(ON_BOARD):
            assert set(re.findall(r"^(\S+) +ok +max abs", output, re.MULTILINE)) == {
                "native",
                "native-fp16",
                "native-int8",
                "numpy",
            }
            assert answers == 20
        elif "edge-lstm run" in code:
            assert answers == 100, output
        elif language == "python":
            assert set(output.split()) <= {"badminton", "running", "standing", "walking"}
            assert len(output.split()) == 3
    assert {path.name for path in (clone / "build" / "demo").iterdir()} == {
        "motions.edge", "motions.html", "run", "recordings.csv", "recording.csv"
    }  # fmt: skip
    metrics = json.loads((clone / "build" / "demo" / "run" / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.9
    installed = (board / "edge-lstm").glob("lib/python3*/site-packages/*.dist-info")
    assert {path.name.split("-")[0] for path in installed} - {"pip", "setuptools"} == {
        "edge_lstm_runtime",
        "numpy",
    }


def test_readme_shows_every_verb_but_the_demo_which_make_runs():
    used = {
        match[1] for command in commands() for match in re.finditer(r"edge-lstm (\w+)", command)
    }
    # Their tests are in runtime/serve, runtime/install and export/fleet.
    named = {"serve", "service", "install", "deploy", "fleet"}
    assert used == set(verbs()) - {"demo", "targets", "converter", "import"} - named
    assert all(f"`edge-lstm {verb}`" in README for verb in named)
    assert "`edge-lstm targets`" in README
    assert "`edge-lstm converter`" in (ROOT / "docs" / "backends.md").read_text("utf-8")


def run(code: str, folder: Path, **variables: str) -> str:
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", code],
        cwd=folder,
        env={**EMPTY, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{code}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.slow
def test_each_way_to_install(clone: Path) -> None:
    """The environments see the packages of `.venv`: fetching them again would take minutes."""
    version = f"edge-lstm {rt.__version__}\n"
    first, *rest = [code for _, code in blocks(INSTALL)]
    run("make .venv/ready", clone)
    assert run(first, clone) == 2 * version
    (site,) = (clone / ".venv").glob("lib/python3*/site-packages")
    packages = clone.parent / "packages"
    packages.mkdir()
    for path in site.iterdir():
        if "edge_lstm" not in path.name:  # which comes from the new environment itself
            (packages / path.name).symlink_to(path)
    for code in rest:
        if code.startswith(ON_BOARD):
            board = clone.parent / "other-board"
            board.mkdir()
            machine = f"manylinux2014_{platform.machine()}"
            run(f"cp dist/edge_lstm_runtime-*-{machine}.whl {shlex.quote(str(board))}", clone)
            assert run(code, board).endswith(version)
            continue
        name = re.search(r"python3 -m venv (\S+)", code)
        assert name is not None
        python = shlex.quote(str(clone / ".venv/bin/python"))
        seen = f"{name[1]}/lib/{site.parent.name}/site-packages/seen.pth"
        code = code.replace("pip install", f"echo {packages} >{seen}; pip install")
        code = code.replace("make wheels", "[ -d dist ] || make wheels")  # the README's are there
        assert run(
            f"""python3() {{ {python} "$@"; }}\n{code}command -v edge-lstm\n""", clone
        ).endswith(f"{version}{clone}/{name[1]}/bin/edge-lstm\n")
