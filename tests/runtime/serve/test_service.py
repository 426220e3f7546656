"""The unit file, as systemd reads it, and the words to systemd."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from edge_lstm_runtime.serve.unit import quoted
from helpers.bundles import make_npu_bundle
from helpers.commands import edge_lstm
from helpers.served import service, until

ANALYZE = shutil.which("systemd-analyze")
NEEDS_SYSTEMD = pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here; install it")
LIMIT = 2.5


@pytest.fixture(params=[False, True], ids=["cpu", "npu"])
def unit_file(request, served_file, tmp_path):
    bundle = served_file
    if request.param:
        bundle = tmp_path / "npu.edge"
        make_npu_bundle(bundle)
    done = edge_lstm("service", bundle, "--", "--http", ":8080", "--save-every", "5")
    assert done.returncode == 0, done.stderr
    path = tmp_path / "edge-lstm.service"
    path.write_text(done.stdout)
    return path


def analyze(*words):
    return subprocess.run(
        [ANALYZE, *words], capture_output=True, text=True, check=False, timeout=60
    )


@NEEDS_SYSTEMD
def test_systemd_has_nothing_to_say_about_it(unit_file):
    """It exits with 0 for unknown keys, so its output counts."""
    done = analyze("verify", "--man=no", str(unit_file))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    unit_file.write_text(unit_file.read_text().replace("PrivateTmp=", "PrivateTemp="))
    done = analyze("verify", "--man=no", str(unit_file))
    assert "PrivateTemp" in done.stderr


@NEEDS_SYSTEMD
def test_it_has_few_rights(unit_file):
    done = analyze("security", "--offline=true", "--no-pager", str(unit_file))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= LIMIT


def test_the_command_and_the_devices(unit_file):
    text = unit_file.read_text()
    command = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    assert command.endswith(".edge --http :8080 --save-every 5 --state /var/lib/edge-lstm")
    assert ("DeviceAllow=char-drm rw" in text) == ("npu.edge" in command)


def test_words_are_quoted():
    assert quoted("plain") == "plain"
    assert quoted("50% $x") == '"50%% $$x"'
    assert quoted('a"b\\') == '"a\\"b\\\\"'
    assert quoted("") == '""'


def test_a_bad_name_is_one_line(served_file):
    done = edge_lstm("service", served_file, "--name", "../x")
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected small letters" in done.stderr


def test_words_to_systemd(served_file, tmp_path):
    """Ready, alive though no sample comes (a golden one is tried), reloading, stopping."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(tmp_path / "notify"))
        s.settimeout(20)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"}
        with service(served_file, "--backend", "native", **environ) as running:
            said = [s.recv(200).decode() for _ in range(3)]
            assert sorted(said) == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
            running.process.send_signal(signal.SIGHUP)
            while not (word := s.recv(200).decode()).startswith("RELOADING=1\nMONOTONIC_USEC="):
                assert word == "WATCHDOG=1"
            while (word := s.recv(200).decode()) != "READY=1":
                assert word == "WATCHDOG=1"
            assert running.end() == 143
            while (word := s.recv(200).decode()) != "STOPPING=1":
                assert word == "WATCHDOG=1"


def test_it_says_why_it_does_without_the_npu(tmp_path):
    bundle = tmp_path / "npu.edge"
    make_npu_bundle(bundle)
    with service(bundle) as served:
        (line,) = [line for line in served.said.splitlines() if "rknn (" in line]
    assert re.match(r"edge-lstm: npu on (native|numpy|onnx); rknn \(\S+\): not here: ", line)


def test_a_signal_that_another_thread_gets(served_file, tmp_path):
    """The system chooses the thread, and the main one has the handlers."""
    libc = ctypes.CDLL(None, use_errno=True)

    def send(served, number):
        main = served.process.pid
        other = max(int(task.name) for task in Path(f"/proc/{main}/task").iterdir())
        assert other != main
        assert libc.tgkill(main, other, int(number)) == 0, os.strerror(ctypes.get_errno())

    with service(served_file, "--state", tmp_path) as served:
        for times in (1, 2):
            send(served, signal.SIGHUP)
            until(lambda times=times: served.said.count("loaded again") == times)
        send(served, signal.SIGTERM)
        assert served.process.wait(10) == 143
