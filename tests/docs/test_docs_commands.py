"""What the documents print is run: the README's commands in order, its Python, its links, its make targets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from edge_lstm_runtime.cli import verbs

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text("utf-8")
LOCAL_DATA = ROOT.parent / "shared" / "data"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line.split("  #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if "edge-lstm " in line]


def data_folder() -> str | None:
    return os.environ.get("EDGE_LSTM_DATA") or (str(LOCAL_DATA) if LOCAL_DATA.is_dir() else None)


@pytest.mark.slow
def test_readme_from_top_to_bottom(tmp_path):
    """Training is cut to two epochs; everything else is as printed, on the real converter."""
    if data_folder() is None:
        pytest.skip("EDGE_LSTM_DATA is not set, and the README's second example reads its data from there")
    (tmp_path / "edge_lstm").symlink_to(ROOT / "edge_lstm")
    recording = tmp_path / "build" / "demo" / "recording.csv"
    recording.parent.mkdir(parents=True)
    names = ["accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z"]
    recording.write_text("\n".join([",".join(names), *(",".join(["0.5"] * 6) for _ in range(5))]) + "\n")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "EDGE_LSTM_DATA": data_folder()}
    for command in commands():
        shortened = command + " --set train.epochs=2" if command.startswith(("edge-lstm train", "edge-lstm compare")) else command
        done = subprocess.run(
            ["bash", "-c", shortened], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=400, check=False
        )
        assert done.returncode == 0, f"{shortened}\n{done.stdout}\n{done.stderr}"
        if " run " in command:
            assert done.stdout.count('"label"') == (5 if "recording" in command else 1), done.stdout
    (code,) = blocks("python")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 3
    assert re.search(r"The LSTM (beats|does not beat|is better)", (tmp_path / "machine.html").read_text())


def test_readme_shows_every_verb_but_the_demo_which_make_runs():
    used = {match[1] for command in commands() for match in re.finditer(r"edge-lstm (\w+)", command)}
    assert used == set(verbs()) - {"demo", "targets", "converter"}
    assert "`edge-lstm targets`" in README
    assert "`edge-lstm converter`" in (ROOT / "docs" / "backends.md").read_text("utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_and_make_targets_exist(document):
    text = document.read_text("utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / link).exists(), f"{document.name} links to {link}"
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"make (\w+)", re.sub(r"[^`]*`([^`]*)`[^`]*|.", r" \1 ", text))) <= targets | {"clean"}


def documented_keys(text: str) -> set[str]:
    return set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))


def test_every_configuration_key_is_documented():
    """A section's keys; for [data], [model] and [train] those of every source or task, and its own."""
    from edge_lstm.config import common, schema
    from edge_lstm.data.sources import SOURCES
    from edge_lstm.tasks import TASKS

    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    sections = {s.split("`")[1]: s for s in re.split(r"^## ", text, flags=re.MULTILINE)[1:]}
    fixed = {name: schema.Config.model_fields[name].annotation for name in schema.OPTIONAL}
    fixed = {name: next(c for c in get_args(annotation) if c is not type(None)) for name, annotation in fixed.items()}
    for name, section in {**fixed, "data.split": common.SplitConfig}.items():
        assert documented_keys(sections[f"[{name}]"]) == set(section.model_fields), name
    tasks = {name: TASKS.load(name).Section for name in TASKS.names()}
    for title, found in {
        "[data]": {name: SOURCES.load(name).Section for name in SOURCES.names()},
        "[model]": tasks,
        "[train]": {name: task.Train for name, task in tasks.items()},
    }.items():
        # "csv" has the keys under "### `csv`, `parquet`: tables", and those under "And for `csv`:".
        everyone, *parts = re.split(r"^### |^And (?=for `)", sections[title], flags=re.MULTILINE)
        named = [(set(re.findall(r"`([\w-]+)`", part.splitlines()[0])), documented_keys(part)) for part in parts]
        for name, section in found.items():
            general = everyone if name != "text" else everyone.partition("For every source of numbers")[0]
            expected = documented_keys(general).union(*(keys for names, keys in named if name in names))
            assert expected == set(section.model_fields) - {"split"}, (title, name)
        assert set.union(set(), *(names & found.keys() for names, keys in named if keys)) >= {n for n in found if title != "[train]"}


def test_documents_name_the_same_version():
    import edge_lstm
    import edge_lstm_runtime

    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    assert f'version = "{edge_lstm_runtime.__version__}"' in pyproject
    assert edge_lstm.__version__ == edge_lstm_runtime.__version__
    assert f"## {edge_lstm_runtime.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
