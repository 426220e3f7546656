"""What the documents print is run: all of the README in order, from an empty shell."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from edge_lstm_runtime.cli import verbs
from helpers.paths import ROOT

PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
DOCUMENTS = [*map(ROOT.joinpath, PAGES), *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text("utf-8")
ON_BOARD = "# on the board\n"  # a block that begins so is for another machine
# Of a login shell: none of the tests' own environment, and not the Python that runs them.
EMPTY = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": str(Path.home()),
}
SHORTENED = re.compile(r"^(edge-lstm (?:train|compare|search) .*?)(  +#.*)?$", re.MULTILINE)


def blocks() -> list[tuple[str, str]]:
    """(language, code) of every block of the README that is run."""
    return re.findall(r"^```(sh|python)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [
        line.split("  #")[0].strip()
        for language, code in blocks()
        if language == "sh"
        for line in code.splitlines()
    ]
    return [line for line in lines if "edge-lstm " in line]


def script(board: Path) -> str:
    """The README as one shell's input. Training is cut to two epochs.

    board: a folder that stands for the board. It gets the wheel for this machine.
    """
    parts = ["set -e -o pipefail", f'scp() {{ cp "${{@:1:$#-1}}" {shlex.quote(str(board))}; }}']
    for number, (language, code) in enumerate(blocks()):
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


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What git clones, with what is changed and not committed yet."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout, so it can't be cloned")
    folder = tmp_path_factory.mktemp("readme") / "edge-lstm"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    # `make` has made it a moment ago. Once more takes minutes, and gigabytes.
    if (ROOT / ".venv" / "ready").exists() and "EDGE_LSTM_FRESH" not in os.environ:
        (folder / ".venv").symlink_to(ROOT / ".venv")
    yield folder
    shutil.rmtree(folder / ".venv", ignore_errors=True)


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
    assert len(said) == len(blocks())
    for (language, code), output in zip(blocks(), said, strict=True):
        answers = output.count('"label"')
        if code.startswith(ON_BOARD):
            assert set(re.findall(r"^(\S+) +ok +max abs", output, re.MULTILINE)) == {
                "native",
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
        "edge_lstm",
        "numpy",
    }


def test_readme_shows_every_verb_but_the_demo_which_make_runs():
    used = {
        match[1] for command in commands() for match in re.finditer(r"edge-lstm (\w+)", command)
    }
    assert used == set(verbs()) - {"demo", "targets", "converter", "import"}
    assert "`edge-lstm targets`" in README
    assert "`edge-lstm converter`" in (ROOT / "docs" / "backends.md").read_text("utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_and_make_targets_exist(document):
    text = document.read_text("utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / link).exists(), f"{document.name} links to {link}"
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(
        re.findall(r"make (\w+)", re.sub(r"[^`]*`([^`]*)`[^`]*|.", r" \1 ", text))
    ) <= targets | {"clean"}


def documented_keys(text: str) -> set[str]:
    return set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))


def test_every_configuration_key_is_documented():
    """A section's keys. [data], [model] and [train] also have those of every source or task."""
    from edge_lstm.config import common, schema
    from edge_lstm.config.transforms import CalendarConfig, TransformConfig
    from edge_lstm.data.sources import SOURCES
    from edge_lstm.tasks import TASKS

    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    sections = {s.split("`")[1]: s for s in re.split(r"^## ", text, flags=re.MULTILINE)[1:]}
    fixed = {name: schema.Config.model_fields[name].annotation for name in schema.OPTIONAL}
    fixed = {
        name: next(c for c in get_args(annotation) if c is not type(None))
        for name, annotation in fixed.items()
    }
    for name, section in {**fixed, "data.split": common.SplitConfig}.items():
        assert documented_keys(sections[f"[{name}]"]) == set(section.model_fields), name
    tables = {"Transforms": TransformConfig, "Calendar": CalendarConfig}
    for title, section in tables.items():
        part = next(p for p in re.split(r"^##+ ", text, flags=re.MULTILINE) if p.startswith(title))
        assert documented_keys(part) == set(section.model_fields), title
    tasks = {name: TASKS.load(name).Section for name in TASKS.names()}
    for title, found in {
        "[data]": {name: SOURCES.load(name).Section for name in SOURCES.names()},
        "[model]": tasks,
        "[train]": {name: task.Train for name, task in tasks.items()},
    }.items():
        # "csv" has the keys under "### `csv`, `parquet`: tables", and those under "And for `csv`:".
        everyone, *parts = re.split(r"^### |^And (?=for `)", sections[title], flags=re.MULTILINE)
        named = [
            (set(re.findall(r"`([\w-]+)`", part.splitlines()[0])), documented_keys(part))
            for part in parts
        ]
        for name, section in found.items():
            general = (
                everyone if name != "text" else everyone.partition("For every source of numbers")[0]
            )
            expected = documented_keys(general).union(
                *(keys for names, keys in named if name in names)
            )
            assert expected == set(section.model_fields) - {"split"}, (title, name)
        assert set.union(set(), *(names & found.keys() for names, keys in named if keys)) >= {
            n for n in found if title != "[train]"
        }


def test_documents_name_the_same_version():
    import edge_lstm
    import edge_lstm_runtime

    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    assert f'version = "{edge_lstm_runtime.__version__}"' in pyproject
    assert edge_lstm.__version__ == edge_lstm_runtime.__version__
    assert f"## {edge_lstm_runtime.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
