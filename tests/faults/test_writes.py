"""A fault at the n-th write, fsync, rename, mkdir or open of a command, for all n.

Afterwards every file is whole, the old one or the new one; the command says so in one line and does
not end with 0; no temporary file is left. A few n are tried, and with EDGE_LSTM_ALL_FAULTS=1 all.
"""

from __future__ import annotations

import errno
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.bundles import make_bundle
from helpers.commands import environment
from helpers.configs import CLASSIFY
from helpers.on_request import ALL, ON_REQUEST
from helpers.write_faults import Case, count, every, wrong

pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None, reason="gcc is not installed, which builds the preloaded library"
)
TRAINER = ("edge_lstm.training.train", "edge_lstm.training.loop", "edge_lstm.cli.train",
           "edge_lstm.results.plots", "matplotlib.backends.backend_agg")  # fmt: skip
EXPORT = (*TRAINER, "edge_lstm_export.pipeline", "edge_lstm_export.cli.export")
FEW = 6  # calls, unless all are asked for: those of compare and folds take half an hour


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A folder with data and a configuration."""
    folder = tmp_path / "template"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["subject,activity,a,b"]
    for subject in range(1, 6):
        for activity, level in (("walk", 2.0), ("rest", -2.0)):
            for a, b in rng.normal(level, 1.0, (12, 2)):
                lines.append(f"s{subject},{activity},{a:.4f},{b:.4f}")
    (folder / "data.csv").write_text("\n".join(lines) + "\n")
    (folder / "config.toml").write_text(CLASSIFY)
    return folder


def prepare(template: Path, *argv: str) -> None:
    """Run a command in the template."""
    from helpers.commands import command

    done = subprocess.run(
        command(*argv), cwd=template, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def trained(template: Path) -> None:
    prepare(template, "train", "config.toml", "-o", "run", "--set", "train.epochs=1")


def check(case: Case, *, many: bool, silent: bool = False) -> None:
    """silent: the command works without the file, and ends with 0."""
    calls = count(case)
    assert calls > 3
    few = min(FEW, calls)
    numbers = None if many and ALL else sorted(random.Random(0).sample(range(calls), few))
    runs = every(calls, numbers)
    found = []
    for start in range(0, len(runs), 50):
        for ended in case.runs(runs[start : start + 50]):
            found += wrong(case, ended, fails=not silent)
        case.clear()
    assert not found, "\n".join(found)


def few_and_many(test: Callable[..., None]) -> Callable[..., None]:
    both = [
        pytest.param(False, id="few"),
        pytest.param(True, id="all", marks=[pytest.mark.slow, ON_REQUEST]),
    ]
    return pytest.mark.parametrize("many", both)(test)


@few_and_many
def test_train(template: Path, many: bool) -> None:
    argv = ("train", "config.toml", "-o", "run", "--set", "train.epochs=2")
    check(Case(template.parent, "run", argv, TRAINER), many=many)


@few_and_many
def test_resume(template: Path, many: bool) -> None:
    """Of a run that lacks its metrics: best.pt is there before, and stays one or the other."""
    trained(template)
    (template / "run" / "metrics.json").unlink()
    argv = ("train", "config.toml", "-o", "run", "--set", "train.epochs=1", "--resume")
    check(Case(template.parent, "run", argv, TRAINER), many=many)


@few_and_many
def test_export(template: Path, many: bool) -> None:
    """Over an old bundle and an old report."""
    trained(template)
    (template / "out").mkdir()
    prepare(template, "export", "run", "--no-npu", "-o", "out/a.edge")
    argv = ("export", "run", "--no-npu", "-o", "out/a.edge")
    check(Case(template.parent, "out", argv, EXPORT), many=many)


@few_and_many
def test_c_export(template: Path, many: bool) -> None:
    """Over an old folder."""
    trained(template)
    (template / "out").mkdir()
    prepare(template, "export", "run", "--target", "c", "-o", "out/c")
    argv = ("export", "run", "--target", "c", "-o", "out/c")
    check(Case(template.parent, "out", argv, EXPORT), many=many)


@few_and_many
def test_inspect(template: Path, many: bool) -> None:
    trained(template)
    (template / "out").mkdir()
    (template / "out" / "page.html").write_text("<html>the old page</html>\n")
    argv = ("inspect", "run", "-o", "out/page.html")
    check(Case(template.parent, "out", argv, EXPORT), many=many)


@pytest.mark.slow
def test_folds(template: Path) -> None:
    config = CLASSIFY.replace('val = ["s4"]\ntest = ["s5"]\n', "val = 0.3\n")
    (template / "config.toml").write_text(config)
    argv = ("train", "config.toml", "-o", "out", "--folds", "3", "--set", "train.epochs=1")
    check(Case(template.parent, "out", argv, TRAINER), many=True)


@pytest.mark.slow
def test_compare(template: Path) -> None:
    argv = ("compare", "config.toml", "-o", "out", "--set", "train.epochs=1")
    modules = (*TRAINER, "edge_lstm.compare", "edge_lstm.cli.compare")
    check(Case(template.parent, "out", argv, modules), many=True)


@few_and_many
def test_auto_cache(template: Path, many: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Best effort: `run` answers all the same."""
    trained(template)
    prepare(template, "export", "run", "--no-npu", "-o", "a.edge")
    monkeypatch.setenv("EDGE_LSTM_REMEMBER", "1")
    monkeypatch.setenv("EDGE_LSTM_CACHE", "cache")
    (template / "rows.csv").write_text("a,b\n1,2\n")
    argv = ("run", "a.edge", "--input", "rows.csv")
    case = Case(template.parent, "cache", argv, ("edge_lstm_runtime",))
    check(case, many=many, silent=True)


@few_and_many
def test_run_state(template: Path, many: bool) -> None:
    """Over the state of a run before."""
    (template / "out").mkdir()
    make_bundle(template / "a.edge")
    (template / "rows.csv").write_text("1,2,3\n4,5,6\n")
    argv = ("run", "a.edge", "--input", "rows.csv", "--backend", "numpy")
    argv = (*argv, "--state", "out/a.state")
    prepare(template, *argv)
    check(Case(template.parent, "out", argv, ("edge_lstm_runtime",)), many=many)


def test_interrupted_calls_are_made_again(template: Path) -> None:
    argv = ("train", "config.toml", "-o", "run", "--set", "train.epochs=1")
    case = Case(template.parent, "run", argv, TRAINER)
    calls = count(case)
    numbers = random.Random(1).sample(range(calls), 8)
    for ended in case.runs([(n, errno.EINTR, False) for n in numbers]):
        renamed = "Interrupted system call" in ended.error  # rename(2) and mkdir(2) never say so
        assert not wrong(case, ended, fails=renamed)
