"""What is shown, and what is drawn."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import io
import os
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from edge_lstm.cli import train as train_verb
from edge_lstm.config.schema import Config
from edge_lstm.results import plots
from edge_lstm.tasks.forecast import plot_forecast
from edge_lstm.training.progress import Reporter
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.errors import ConfigError
from helpers.configs import CLASSIFY

ROW = {
    "epoch": 1.0,
    "train_loss": 0.5,
    "val_loss": 0.25,
    "val_accuracy": 0.75,
    "val_macro_f1": 0.7,
} | {
    "learning_rate": 1e-3,
    "samples_per_s": 99.0,
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    reporter = Reporter(quiet=False)
    reporter.start(0, 4, 100)
    reporter.samples(50, 0.9)
    reporter.epoch(ROW, "loss", best=True)
    reporter.close()
    shown = terminal.getvalue()
    assert "epoch 1/4" in shown
    assert "25%" in shown
    assert "samples/s" in shown
    assert "left" in shown
    assert "loss 0.5, val loss 0.25, accuracy 0.75" in shown


@pytest.mark.usefixtures("classify_csv")
def test_the_bar_of_a_command_moves_the_cursor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All else on standard error has its controls escaped."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    config = tmp_path / "config.toml"
    config.write_text(CLASSIFY)
    with open(theirs, "w") as terminal:  # noqa: PTH123
        monkeypatch.setattr(sys, "stderr", terminal)
        assert main(["train", str(config), "-o", str(tmp_path / "run")]) == 0
    seen = bytearray()
    with contextlib.suppress(OSError):  # the terminal's end
        while part := os.read(ours, 4096):
            seen += part
    os.close(ours)
    assert seen.count(b"\repoch ") > 1
    assert b"\\" not in seen


def test_a_line_per_epoch_elsewhere_and_nothing_when_quiet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for quiet in (False, True):
        reporter = Reporter(quiet=quiet)
        reporter.start(0, 4, 100)
        reporter.samples(50, 0.9)
        reporter.epoch(ROW, "macro_f1", best=True)
        reporter.line("done")
        reporter.close()
        err = capsys.readouterr().err
        assert (
            err == ""
            if quiet
            else err.splitlines()[0].startswith(
                "epoch 1/4  loss 0.5  val loss 0.25  macro_f1 0.7  99 samples/s"
            )
        )


def texts(figure: Figure) -> set[str]:
    return {
        text for ax in figure.axes for text in (ax.get_title(), ax.get_xlabel(), ax.get_ylabel())
    }


def test_curves_name_the_scale_of_their_errors() -> None:
    rows = [
        {"epoch": 1.0, "train_loss": 1.0, "val_loss": 1.0, "val_mae": 0.5, "learning_rate": 0.1}
    ]
    assert "Validation MAE (raw units)" in texts(plots.plot_curves(rows))
    said = texts(plots.plot_curves(rows, logarithmic=True))
    assert "Validation MAE (logarithmic scale)" in said
    assert not any("raw units" in text for text in said)


def test_figures_have_titles_and_axes(tmp_path: Path) -> None:
    curves = plots.plot_curves([ROW, {**ROW, "epoch": 2.0, "train_loss": 0.4}])
    assert {"Loss", "epoch", "Validation accuracy", "Learning rate"} <= texts(curves)
    confusion = plots.plot_confusion([[3, 1], [0, 2]], ["rest", "walk"])
    assert {"truth", "answer"} <= texts(confusion)
    assert [t.get_text() for t in confusion.axes[0].texts] == ["3", "1", "0", "2"]
    truth = np.append(np.sin(np.arange(50.0)), np.nan)
    forecast = plot_forecast(truth, {0.5: truth + 0.1}, "temperature", ahead=3, baseline=truth)
    assert "temperature: forecast 3 steps ahead, test split" in texts(forecast)
    for k, figure in enumerate((curves, confusion, forecast)):
        plots.save_figure(figure, tmp_path / f"{k}.png")
        assert (tmp_path / f"{k}.png").stat().st_size > 5000


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="edge-lstm train")
    train_verb.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.usefixtures("classify_csv")
def test_the_command(
    configure: Callable[..., Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(CLASSIFY)
    arguments = [str(tmp_path / "config.toml"), "-o", str(tmp_path / "run"), "--device", "cpu"]
    assert (
        train_verb.main(
            parse(
                *arguments,
                "--set",
                "train.epochs=1",
                "--set",
                "train.optimizer=adam",
                "--set",
                'data.split.val=["s3"]',
            )
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "parameters" in out
    assert "test accuracy" in out
    assert "next            edge-lstm export" in out
    with pytest.raises(ConfigError, match=r"--set train.epochs: expected KEY=VALUE"):
        train_verb.main(parse(*arguments, "--set", "train.epochs"))


def test_the_help_teaches_by_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--help")
    assert "edge-lstm train recipe:activity -o runs/motions" in capsys.readouterr().out
