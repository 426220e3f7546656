"""What is imported before the first epoch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_lstm.training.without import without
from helpers.configs import CLASSIFY

LATER = ("torchmetrics", "matplotlib", "scipy", "sklearn", "statsmodels", "aeon", "onnxruntime")
PROGRAM = """
import sys
from edge_lstm import load_config, train
from edge_lstm.training.progress import Reporter
def epoch(self, row, monitor, *, better=False, best=False):
    print(*[name for name in {later!r} if name in sys.modules], "and torch", "torch" in sys.modules)
Reporter.epoch = epoch
train(load_config({config!r}, {{"train.epochs": 1}}), {out!r}, quiet=True)
import torchmetrics
print(torchmetrics.__version__)
"""


@pytest.mark.usefixtures("classify_csv")
def test_a_run_starts_without_what_it_needs_later_or_never(tmp_path: Path) -> None:
    """Each of these takes a second or so to be imported."""
    config = tmp_path / "config.toml"
    config.write_text(CLASSIFY)
    program = PROGRAM.format(later=LATER, config=str(config), out=str(tmp_path / "run"))
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300
    )
    first, version = ran.stdout.splitlines()
    assert first == "and torch True"
    assert int(version.split(".")[0]) >= 1, "later it can be imported"


def test_an_import_without_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with without("colorsys"), pytest.raises(ModuleNotFoundError):
        import colorsys
    import colorsys

    with without("colorsys"):
        import colorsys as again
    assert again is colorsys
