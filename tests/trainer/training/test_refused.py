"""All that can be refused is refused before the first epoch, and leaves nothing behind.

After the mistake is mended, the same command trains into the same folder.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_lstm import train
from edge_lstm.config.schema import Config
from edge_lstm.training import loop
from edge_lstm.training.distill import teacher_config
from edge_lstm_runtime.errors import DataError, EdgeLstmError, TrainingError
from helpers.commands import environment
from helpers.configs import CLASSIFY, FORECAST, LANGUAGE
from helpers.plug_ins import plug_in

Configure = Callable[..., Config]
REGRESS = FORECAST.replace("horizon = 3\n", "").replace('"forecast"', '"regress"')


@pytest.fixture(autouse=True)
def no_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    def begun(_: loop.Training) -> None:
        raise AssertionError("an epoch has begun")

    monkeypatch.setattr(loop.Training, "_epoch", begun)


def refused(config: Config, out: Path, kind: type[EdgeLstmError], *words: str) -> None:
    with pytest.raises(kind) as caught:
        train(config, out, quiet=True)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert not out.exists()


def prose(folder: Path, count: int = 400) -> None:
    (folder / "prose.txt").write_text(("more tea, mother, or the name of a star? " * 40)[:count])


@pytest.mark.usefixtures("forecast_csv")
def test_a_validation_piece_shorter_than_the_window_of_a_refit(
    configure: Configure, tmp_path: Path
) -> None:
    config = configure(FORECAST, ("window = 12", "window = 50"), train__refit=True)
    words = ("[train] refit = true", "40 steps, and the window 50")
    refused(config, tmp_path / "run", DataError, *words)


def test_a_validation_text_too_short_for_the_streams_of_a_refit(
    configure: Configure, tmp_path: Path
) -> None:
    prose(tmp_path)
    config = configure(
        LANGUAGE, ("val = 0.1", "val = 0.015"), train__refit=True, train__batch_size=8
    )
    words = ("[train] refit = true", "5 characters, too few for 8 streams")
    refused(config, tmp_path / "run", DataError, *words)


@pytest.mark.usefixtures("forecast_csv")
def test_a_test_piece_shorter_than_the_horizon(configure: Configure, tmp_path: Path) -> None:
    config = configure(FORECAST, ("test = 0.2", "test = 0.03"), model__horizon=10)
    words = ("the test split can't be measured", "is followed by 10 known values")
    refused(config, tmp_path / "run", DataError, *words)


def test_a_target_that_is_blank_in_the_test_split(
    forecast_csv: Path, configure: Configure, tmp_path: Path
) -> None:
    header, *rows = forecast_csv.read_text().splitlines()
    rows[160:] = [row.split(",")[0] + "," for row in rows[160:]]
    forecast_csv.write_text("\n".join([header, *rows]) + "\n")
    config = configure(REGRESS, ('channels = ["a", "b"]', 'channels = ["a"]'))
    words = ("the test split can't be measured", "has a known target")
    refused(config, tmp_path / "run", DataError, *words)


@pytest.mark.usefixtures("forecast_csv")
def test_the_teacher_is_not_trained_for_a_student_that_is_refused(
    configure: Configure, tmp_path: Path
) -> None:
    text = FORECAST + "\n[distill]\nhidden_size = 12\n"
    config = configure(text, ("window = 12", "window = 50"), train__refit=True)
    refused(config, tmp_path / "run", DataError, "[train] refit = true")


@pytest.mark.usefixtures("forecast_csv")
@pytest.mark.parametrize("teacher", ["nowhere", "."])
def test_a_teacher_that_is_not_there(configure: Configure, tmp_path: Path, teacher: str) -> None:
    config = configure(FORECAST + f"\n[distill]\nteacher = '{teacher}'\n")
    refused(config, tmp_path / "run", TrainingError, "there is no finished run in")


@pytest.mark.usefixtures("forecast_csv")
def test_a_folder_is_not_blocked_by_a_run_that_never_began(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "runs" / "new"
    refused(configure(FORECAST, ("window = 12", "window = 500")), out, DataError, "the window 500")
    assert not out.parent.exists()
    monkeypatch.undo()
    assert train(configure(FORECAST, train__epochs=1), out, quiet=True).metrics["epochs"] == 1


def test_a_wrong_path_is_told_before_pytorch_is_imported(
    configure: Configure, tmp_path: Path
) -> None:
    configure(FORECAST)
    program = (
        "import sys\n"
        "from edge_lstm import load_config, train\n"
        "from edge_lstm_runtime.errors import DataError\n"
        "try:\n"
        "    train(load_config('config.toml'), 'run')\n"
        "except DataError as e:\n"
        "    print('data.csv: there is no such file' in str(e), 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True False\n"
    assert not (tmp_path / "run").exists()


def test_a_short_text_is_pruned(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text is shorter than the window, which only says how far gradients are followed."""
    monkeypatch.undo()
    prose(tmp_path)
    text = LANGUAGE + "\n[prune]\nhidden_size = 4\nsteps = 1\nepochs = 1\n"
    config = configure(text, ("window = 7", "window = 1000"), train__epochs=1)
    run = train(config, tmp_path / "run", quiet=True)
    assert [layer.outputs(1) for layer in run.spec.network.layers[:-1]] == [4, 4]


def test_a_teacher_has_not_seen_the_validation_split(configure: Configure) -> None:
    config = configure(CLASSIFY + "\n[distill]\nhidden_size = 12\n", train__refit=True)
    teacher = teacher_config(config, 12)
    assert not teacher.train.refit
    assert teacher.train == config.train.model_copy(update={"refit": False})
    assert teacher.model.hidden_size == 12


LEAKY = '''
"""A leaky integrator without `units`: its size is its own affair."""
import dataclasses

from edge_lstm_runtime.layers import Layer


@dataclasses.dataclass(frozen=True)
class Leaky(Layer):
    type = "leaky"
    KEY: int

    @property
    def bounded(self):
        return True

    def outputs(self, inputs):
        return self.KEY

    def weights(self, inputs):
        return {"W_x": (inputs, self.KEY), "W_h": (self.KEY, self.KEY), "b": (self.KEY,)}

    def state(self, inputs):
        return {"h": self.KEY}

    def cell(self, ops, product, weights, x, state):
        sums = product("W_x", x) + product("W_h", state["h"]) + weights["b"]
        h = ops.tanh(ops.sums(sums))
        return h, {"h": h}


LAYER = Leaky
'''


@pytest.mark.usefixtures("classify_csv")
@pytest.mark.parametrize(
    ("key", "section", "words"),
    [
        ("units", "prune", "layer 'leaky0': type 'leaky' can't be pruned; remove [prune]"),
        ("size", "prune", "layer 'leaky0': type 'leaky' has no `units` to lose; remove [prune]"),
        ("units", "quantize", "layer 'leaky0': type 'leaky' can't be fine-tuned for an NPU"),
    ],
)
def test_a_type_from_outside_that_a_stage_cannot_have(
    configure: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    section: str,
    words: str,
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    plug_in(site, "toyleaky", group="edge_lstm.layers", leaky=LEAKY.replace("KEY", key))
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "toyleaky_leaky", raising=False)
    layer = f'[[model.layers]]\ntype = "leaky"\n{key} = 6\n\n[train]'
    stage = {"prune": "hidden_size = 3", "quantize": 'scheme = "w8a8"'}[section]
    config = configure(
        CLASSIFY + f"\n[{section}]\n{stage}\n", ("hidden_size = 6\n", ""), ("[train]", layer)
    )
    refused(config, tmp_path / "run", TrainingError, words)
