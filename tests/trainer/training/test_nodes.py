"""Several machines: here two nodes of two processes each, which torchrun starts on this one."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from edge_lstm import load_run, train
from edge_lstm.config.schema import Config
from edge_lstm_runtime.errors import ConfigError
from helpers.configs import CLASSIFY
from helpers.paths import ROOT

Configure = Callable[..., Config]
# Six training sequences in batches of five: of the last one three processes have no sequence.
SETTINGS: dict[str, object] = {
    "train__epochs": 3,
    "train__batch_size": 5,
    "train__learning_rate": 0.01,
}
DIES = """
import os, signal, sys
from edge_lstm.training.loop import Training
from edge_lstm_runtime.cli import main

judge = Training._judge
def last(training, row):
    if training.progress.epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return judge(training, row)

if os.environ["RANK"] == "3":
    Training._judge = last
sys.exit(main())
"""


def documented(node: int, port: int) -> list[str]:
    """The command of docs/configuration.md, for a node on this machine."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    found = re.search(r"^torchrun (?:.*\\\n)*.*$", text, re.M)
    assert found is not None
    words = shlex.split(found[0].replace("\\\n", " "))
    places = {"--node-rank": str(node), "--master-addr": "127.0.0.1", "--master-port": str(port)}
    for option, value in places.items():
        words[words.index(option) + 1] = value
    return [sys.executable, "-m", "torch.distributed.run", *words[1:]]


def started(
    commands: list[list[str]], more: Mapping[str, str] | None = None
) -> list[tuple[int, str, str]]:
    """The exit code and the output of each, run at once. more: variables of the environment."""
    variables = {
        **os.environ,
        **(more or {}),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "export", ROOT / "deploy"))),
    }
    running = [
        subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for command in commands
    ]
    try:
        ended = [process.communicate(timeout=200) for process in running]
    finally:
        for process in running:
            process.kill()
    return [(p.returncode, *said) for p, said in zip(running, ended, strict=True)]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


Change = Callable[[list[str]], list[str]]


def on_two_nodes(*changes: Change) -> list[tuple[int, str, str]]:
    """The documented command on each of two nodes, changed."""
    port = free_port()
    return started([change(documented(node, port)) for node, change in enumerate(changes)])


def errors(said: str) -> str:
    return "".join(re.findall("edge-lstm: error:.*\n", said))


def replaced(words: list[str], changes: dict[str, object]) -> list[str]:
    return [str(changes.get(word, word)) for word in words]


@pytest.mark.slow
@pytest.mark.usefixtures("classify_csv")
def test_two_nodes_give_what_one_process_gives(configure: Configure, tmp_path: Path) -> None:
    """A process dies in the second epoch. The run is then resumed."""
    alone = train(configure(CLASSIFY, **SETTINGS), tmp_path / "alone", quiet=True)
    config = tmp_path / "nodes.toml"
    config.write_text(configure(CLASSIFY, **SETTINGS).to_toml())
    out = tmp_path / "together"
    (tmp_path / "dies.py").write_text(DIES)

    def command(words: list[str]) -> list[str]:
        return replaced(words, {"my.toml": config, "runs/mine": out})

    def dying(words: list[str]) -> list[str]:
        place = words.index("edge_lstm_command")
        return command([*words[: place - 1], str(tmp_path / "dies.py"), *words[place + 1 :]])

    (code, _, told), (other, _, _) = on_two_nodes(dying, dying)
    assert code != 0
    assert other != 0
    lost = "has lost another one, which has ended, or whose machine can't be reached; see the "
    assert re.fullmatch(rf"(edge-lstm: error: process [01] of 4 {lost}.*\n?)+", errors(told))

    resumed = [lambda words: [*command(words), "--resume"]] * 2
    found = on_two_nodes(*resumed)
    assert [code for code, _, _ in found] == [0, 0], found
    (_, said, told), (_, other_said, _) = found
    assert "goes on after epoch 1 of 3" in told
    assert "test accuracy" in said
    assert not other_said.strip()  # the first process alone talks
    assert len(re.findall("^epoch ", told, re.M)) == 2
    run = load_run(out)
    for name, array in alone.weights.items():
        np.testing.assert_allclose(run.weights[name], array, rtol=1e-4, atol=1e-6)
    for one, four in zip(alone.history, run.history, strict=True):
        for key in ("train_loss", "val_loss", "val_accuracy", "val_macro_f1", "grad_norm"):
            assert four[key] == pytest.approx(one[key], rel=1e-5), key
    assert run.metrics["test"] == alone.metrics["test"]


ALIKE = """
import os, sys
from pathlib import Path
from edge_lstm import load_config
from edge_lstm.training.ranks import check_alike
from edge_lstm.training.train import make_fabric
from edge_lstm_runtime.errors import EdgeLstmError

config, longer = load_config(sys.argv[1]), load_config(sys.argv[1], {"train.epochs": 9})
out, elsewhere = Path(sys.argv[2]), Path(sys.argv[3])
one, two = "1" * 64, "2" * 64
rank = 0 if os.fork() else 1
os.environ["RANK"] = os.environ["LOCAL_RANK"] = str(rank)
fabric = make_fabric(config.train)
fabric.launch()
for name, others in (
    ("alike", (config, one, out)),
    ("data", (config, two, out)),
    ("configuration", (longer, one, out)),
    ("folder", (config, one, elsewhere)),
    ("alike again", (config, one, out)),
):
    try:
        check_alike(fabric, *(others if rank else (config, one, out)))
        said = "goes on"
    except SystemExit as e:
        said = f"ends with {e.code}"
    except EdgeLstmError as e:
        said = f"{type(e).__name__}: {e}"
    os.write(1, f"{name}, {rank}: {said}\\n".encode())  # at once: two processes write
if not rank:
    os.wait()
"""


@pytest.mark.slow
@pytest.mark.usefixtures("classify_csv")
def test_what_differs_between_processes_is_told_once(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(ALIKE)
    configure(CLASSIFY + "devices = 2\n")
    for folder in ("run", "other"):
        (tmp_path / folder).mkdir()
    environment = {
        "TORCHELASTIC_RUN_ID": "1",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    paths = [tmp_path / name for name in ("script.py", "config.toml", "run", "other")]
    ((code, said, told),) = started([[sys.executable, *map(str, paths)]], environment)
    assert code == 0, told
    data = "the data of process 1 on the same machine differs from that of process 0 "
    found = dict(line.split(": ", 1) for line in said.splitlines())
    differs = "ConfigError: the configuration of process 1 on the same machine differs from that "
    assert found.pop("configuration, 0").startswith(differs)
    assert found == {
        "alike, 0": "goes on",
        "alike, 1": "goes on",
        "data, 0": f"DataError: {data}(222222222222, and 111111111111); give every machine the "
        "same files",
        "data, 1": "ends with 2",
        "configuration, 1": "ends with 2",
        "folder, 0": f"TrainingError: {tmp_path}/run: process 1 does not see the files of process "
        "0 there; name a folder that all machines share",
        "folder, 1": "ends with 2",
        "alike again, 0": "goes on",
        "alike again, 1": "goes on",
    }
    assert not list((tmp_path / "run").iterdir())


def test_processes_that_were_not_started_are_told(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the data is read: there is none."""
    with pytest.raises(ConfigError, match=r"num_nodes = 0: expected greater than or equal to 1"):
        configure(CLASSIFY, train__num_nodes=0)
    config = configure(CLASSIFY, train__num_nodes=2)
    with pytest.raises(ConfigError, match=r"num_nodes = 2: several machines train together if tor"):
        train(config, tmp_path / "run")
    started = {"WORLD_SIZE": 6, "LOCAL_WORLD_SIZE": 3, "LOCAL_RANK": 0, "TORCHELASTIC_RUN_ID": 1}
    for name, value in started.items():
        monkeypatch.setenv(name, str(value))
    advice = r"6 processes, 3 on each .* --set train\.devices=3 --set train\.num_nodes=2"
    with pytest.raises(ConfigError, match=advice):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
