"""A board without a network: the page's command, the Ansible role, the container file's lines."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import hatch_build
from helpers.keys import needs_openssh
from helpers.paths import ROOT
from helpers.releases import EXAMPLES, Board, run
from helpers.served import free_port, until

pytestmark = [pytest.mark.slow, needs_openssh]
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_"))}
CLEAN["PIP_NO_COMPILE"] = "1"  # for half of the time


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What docs/install.md carries to a board: the locked wheels, board.txt, the runtime's."""
    folder = tmp_path_factory.mktemp("wheels")
    shutil.copy(ROOT / "lock/board.txt", folder)
    asked = [sys.executable, "-m", "pip", "download", "--require-hashes", "--no-deps"]
    asked += ["--only-binary", ":all:", "-r", str(folder / "board.txt"), "-d", str(folder)]
    done = run(asked)
    if done.returncode != 0:
        pytest.skip(f"the locked wheels can't be had here, from no index: {done.stderr[-300:]}")
    hatch_build.build_wheel(folder, "pure")
    return folder


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "board")


def test_the_command_of_the_page_takes_the_folder_alone(wheels: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs/install.md").read_text("utf-8")
    (code,) = re.findall(r"```\n(# on a board without a network\n.*?)```", page, re.DOTALL)
    shutil.copytree(wheels, tmp_path / "wheels")
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": os.devnull}
    done = run(["bash", "-ec", code], CLEAN | nowhere, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("edge-lstm ")
    (wheel,) = (tmp_path / "wheels").glob("numpy-*.whl")
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    (install,) = (line for line in code.splitlines() if "--require-hashes" in line)
    again = f"edge-lstm/bin/{install} --dry-run --ignore-installed"
    done = run(["bash", "-ec", again], CLEAN | nowhere, tmp_path)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_the_lines_of_the_container_file(wheels: Path, board: Board, tmp_path: Path) -> None:
    """Without a container: in a fresh environment, with its folders under another root."""
    text = (EXAMPLES / "container/Containerfile").read_text("utf-8").replace("\\\n", " ")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    shutil.copytree(wheels, tmp_path / "tmp/wheels")
    shutil.copy(wheels / "board.txt", tmp_path / "tmp")
    bundle = board.release(1, tmp_path / "tmp")
    known = CLEAN | {"PATH": f"{venv}/bin:{os.environ['PATH']}", "PIP_CONFIG_FILE": os.devnull}

    def moved(line: str) -> str:
        return re.sub(r"(?<![\w.])/(?=(tmp|opt|var)/)", f"{tmp_path}/", line)

    lines = re.findall(r"^RUN (.*)$", text, re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        if os.getuid() == 0 or "-o 65532" not in line:
            done = run(["sh", "-ec", moved(line)], known)
            assert done.returncode == 0, done.stderr
    (words,) = (json.loads(line) for line in re.findall(r"^CMD (.*)$", text, re.MULTILINE))
    (probe,) = (json.loads(line) for line in re.findall(r"^HEALTHCHECK CMD (.*)$", text, re.M))
    port = str(free_port())
    words = [moved(word).replace("0.0.0.0:8080", f"127.0.0.1:{port}") for word in words]
    (tmp_path / "var/lib/edge-lstm").mkdir(parents=True, exist_ok=True)
    served = subprocess.Popen([str(venv / "bin" / words[0]), *words[1:]], env=known)
    try:
        healthy = [word.replace(":8080/", f":{port}/") for word in probe]
        assert run(healthy, known).returncode == 1 or served.poll() is None
        until(lambda: run(healthy, known).returncode == 0)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            metrics = answer.read().decode()
        assert run(["sha256sum", str(bundle)]).stdout[:64] in metrics
    finally:
        served.send_signal(signal.SIGTERM)
        assert served.wait(20) == 128 + signal.SIGTERM


@pytest.mark.skipif(
    shutil.which("ansible-playbook") is None, reason="no ansible-playbook (pip: ansible-core)"
)
def test_the_role_changes_what_it_must(wheels: Path, board: Board, tmp_path: Path) -> None:
    """Against this machine, without systemd: twice, then a newer bundle, then a forged one."""
    bundle = board.release(1, tmp_path / "release")
    board.signers.rename(tmp_path / "allowed_signers")
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False}]
    play[0]["roles"] = ["edge_lstm"]  # type: ignore[assignment]
    (tmp_path / "play.yml").write_text(json.dumps(play))
    values = {
        "edge_lstm_wheels": str(wheels),
        "edge_lstm_bundle": str(bundle),
        "edge_lstm_allowed_signers": str(tmp_path / "allowed_signers"),
        "edge_lstm_home": str(tmp_path / "opt/edge-lstm"),
        "edge_lstm_to": str(board.model),
        "edge_lstm_staging": str(tmp_path / "staging"),
        "edge_lstm_python": sys.executable,
        "edge_lstm_systemd": False,
        "ansible_python_interpreter": sys.executable,
    }
    known = CLEAN | {
        "ANSIBLE_ROLES_PATH": str(EXAMPLES / "ansible/roles"),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }

    def play_it() -> tuple[int, str]:
        """The number of changes, and what it said."""
        asked = ["ansible-playbook", "-i", "localhost,", "-e", json.dumps(values)]
        done = run([*asked, str(tmp_path / "play.yml")], known)
        changed = re.search(r"changed=(\d+)", done.stdout)
        assert changed, done.stdout + done.stderr
        assert ("failed=0" in done.stdout) == (done.returncode == 0)
        return int(changed[1]), done.stdout

    changes, said = play_it()
    assert changes > 3
    assert "failed=0" in said, said
    assert board.runs() == bundle.read_bytes()
    assert play_it()[0] == 0
    newer = board.release(2, tmp_path / "release").read_bytes()
    assert play_it()[0] == 2, "the bundle is copied, and installed"
    assert board.runs() == newer
    bundle.write_bytes(newer + b"\0")
    _, said = play_it()
    assert "failed=1" in said
    assert "was altered or replaced" in said
    assert board.runs() == newer
