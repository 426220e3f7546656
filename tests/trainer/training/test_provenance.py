"""Where a model is from: dates, versions, fingerprints."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import edge_lstm as el
from edge_lstm.config.schema import Config
from edge_lstm.training.provenance import commit_of
from edge_lstm_runtime import TrainingError
from helpers.configs import CLASSIFY

Configure = Callable[..., Config]


def test_a_run_says_where_it_is_from(
    configure: Configure, classify_csv: Path, tmp_path: Path
) -> None:
    os.utime(classify_csv, (1_700_000_000, 1_700_000_000))
    config = configure(CLASSIFY, train__epochs=1)
    before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    run = el.train(config, tmp_path / "run", quiet=True, figures=False)
    after = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    found = run.provenance
    assert before <= found["trained"] <= after
    assert found["data_modified"] == "2023-11-14T22:13:20Z"
    assert found["code"] == "edge-lstm 0.1.0"
    assert found["data_sha256"] == run.splits.fingerprint
    other = el.train(
        configure(CLASSIFY, train__epochs=2), tmp_path / "other", quiet=True, figures=False
    ).provenance
    assert other["data_sha256"] == found["data_sha256"]
    assert other["config_sha256"] != found["config_sha256"]
    assert len(other["config_sha256"]) == 64


def test_a_run_of_an_earlier_version_has_no_dates(
    configure: Configure, classify_csv: Path, tmp_path: Path
) -> None:
    assert classify_csv.exists()
    run = el.train(
        configure(CLASSIFY, train__epochs=1), tmp_path / "run", quiet=True, figures=False
    )
    (run.path / "provenance.json").unlink()
    assert set(run.provenance) == {"data_sha256", "config_sha256"}
    (run.path / "provenance.json").write_text("{")
    with pytest.raises(TrainingError, match=r"provenance\.json: damaged"):
        _ = run.provenance


def test_the_commit_of_a_clone(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(
            ["git", *who, *words], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert commit_of(tmp_path) == ""
    (tmp_path / "edge_lstm").mkdir()
    source = tmp_path / "edge_lstm" / "a.py"
    source.write_text("1\n")
    git("init", "-q")
    commit_of.cache_clear()
    assert commit_of(tmp_path) == ""  # without a commit
    git("add", ".")
    git("commit", "-q", "-m", "first")
    commit_of.cache_clear()
    head = git("rev-parse", "HEAD")
    assert commit_of(tmp_path) == head
    (tmp_path / "notes.txt").write_text("no source")
    commit_of.cache_clear()
    assert commit_of(tmp_path) == head
    source.write_text("2\n")
    commit_of.cache_clear()
    assert commit_of(tmp_path) == f"{head}, changed"
    commit_of.cache_clear()


def test_the_repository_around_an_installed_package_is_not_its_clone(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    site = tmp_path / "site-packages"
    (site / "edge_lstm").mkdir(parents=True)
    assert commit_of(site) == ""
