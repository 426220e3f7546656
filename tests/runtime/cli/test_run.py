"""`edge-lstm run`, in a process of its own if the process matters (pipes, signals, exit codes)."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_lstm_runtime import cli, load
from helpers.bundles import make_bundle, make_npu_bundle
from helpers.commands import Pipe, command, csv_of, edge_lstm, environment, here, labels
from helpers.plug_ins import NOISY, plug_in
from helpers.specs import make_spec, samples

HAS_RKNN = importlib.util.find_spec("rknnlite") is not None


def test_run_is_the_session(
    classify_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = load(classify_file)
    xs = samples(model.spec, 30)
    answers = model.session("numpy").run(xs)
    (tmp_path / "a.csv").write_text(csv_of(xs[:, ::-1], "ch2,ch1,ch0\n"))
    (tmp_path / "b.csv").write_text(csv_of(xs))
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in xs.tolist()))
    (tmp_path / "d.jsonl").write_text(
        "".join(
            json.dumps(dict(zip(model.spec.inputs.names, row, strict=True))) + "\n"
            for row in xs.tolist()
        )
    )
    for name in "abcd":
        file = next(tmp_path.glob(f"{name}.*"))
        code, out, err = here(capfd, "run", classify_file, "--backend", "numpy", "--input", file)
        assert (code, err) == (0, ""), file
        assert labels(out) == [model.spec.answer.classes[k] for k in answers.argmax(axis=1)], file
        assert [json.loads(line)["line"] for line in out.splitlines()] == [
            n + (2 if name == "a" else 1) for n in range(30)
        ]


@pytest.mark.parametrize("backend", ["numpy", "onnx", "reference", "auto"])
def test_run_on_every_backend(
    backend: str, classify_file: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    xs = samples(load(classify_file).spec, 10)
    (tmp_path / "a.csv").write_text(csv_of(xs))
    code, out, _ = here(
        capfd, "run", classify_file, "--backend", backend, "--input", tmp_path / "a.csv"
    )
    assert code == 0
    expected = load(classify_file).session("reference").run(xs)
    for line, logits in zip(out.splitlines(), expected, strict=True):
        probabilities = np.exp(logits) / np.exp(logits).sum()
        assert (
            np.abs(np.array(list(json.loads(line)["probabilities"].values())) - probabilities).max()
            < 1e-5
        )


def test_run_with_bad_lines_in_the_middle(classify_file: Path) -> None:
    text = b'1,2,3\n1,2\n1,x,3\n{"reset": true}\n1,2,3\n\xff\xfe,2,3\n1,,3\n-1,0.5,0.25\n'
    done = edge_lstm("run", classify_file, "--input", "-", "--backend", "numpy", text=text)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [a["line"] for a in found] == list(range(1, 9))
    assert [("error" in a) for a in found] == [False, True, True, False, False, True, True, False]
    assert "expected 3 (ch0, ch1, ch2)" in found[1]["error"]
    assert found[3] == {"line": 4, "reset": True}
    assert {**found[4], "line": 1} == found[0]
    assert done.stderr == 'edge-lstm: 4 lines could not be used; see the answers with an "error"\n'


def test_run_forecast_with_gaps(forecast_file: Path) -> None:
    done = edge_lstm(
        "run", forecast_file, "--input", "-", text="ch0,ch1,ch2\n1,,3\n[null, null, null]\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    for line in done.stdout.splitlines():
        assert {name: len(values) for name, values in json.loads(line)["forecast"].items()} == {
            "ch0": 3,
            "ch1": 3,
        }


def test_run_reset_every(
    classify_file: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("1,2,3\n-1,0.5,0.25\n" * 3)
    code, out, _ = here(
        capfd,
        "run",
        classify_file,
        "--input",
        tmp_path / "a.csv",
        "--reset-every",
        "2",
        "--backend",
        "numpy",
    )
    found = [json.loads(line)["probabilities"] for line in out.splitlines()]
    assert code == 0
    assert found[:2] * 3 == found
    code, _, err = here(
        capfd, "run", classify_file, "--input", tmp_path / "a.csv", "--reset-every", "-1"
    )
    assert code == 2
    assert "--reset-every is -1" in err


def test_run_an_empty_file(classify_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert here(capfd, "run", classify_file, "--input", os.devnull) == (0, "", "")


def test_run_a_missing_file_and_a_folder(
    classify_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for path, message in ((tmp_path / "none.csv", "No such file"), (tmp_path, "Is a directory")):
        code, out, err = here(capfd, "run", classify_file, "--input", path)
        assert (code, out) == (2, "")
        assert err == f"edge-lstm: error: can't read {path}: {message}" + (
            " or directory\n" if "No" in message else "\n"
        )


@pytest.mark.parametrize("option", [("--separator", ";"), ("--decimal", ",")])
def test_sound_has_no_separator(
    option: tuple[str, str], classify_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = here(
        capfd, "run", classify_file, "--input", os.devnull, "--format", "s16le", *option
    )
    assert (code, out) == (2, "")
    assert err == (
        "edge-lstm: error: --separator and --decimal are for lines of text, not for sound\n"
    )


@pytest.mark.parametrize("separator", ["", "ab", "1", "\u2028"])
def test_run_with_no_separator(
    separator: str, classify_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = here(
        capfd, "run", classify_file, "--input", os.devnull, "--separator", separator
    )
    assert (code, out) == (2, "")
    assert f"separator is {separator!r}, expected one ASCII sign" in err


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX"])
def test_run_binary_garbage(classify_file: Path, locale: str) -> None:
    garbage = bytes(range(128, 256)) * 200 + b"\n" + np.random.default_rng(0).bytes(5000)
    garbage += b"\n1,2,3\n"
    done = edge_lstm("run", classify_file, "--input", "-", text=garbage, LC_ALL=locale)
    assert done.returncode == 1
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert all("error" in answer for answer in found[:-1])
    assert "label" in found[-1]
    assert all(len(line) < 500 for line in done.stdout.splitlines()[:-1])
    assert (
        done.stderr
        == f"edge-lstm: {len(found) - 1} lines could not be used; see the answers with an "
        '"error"\n'
    )


def test_run_from_the_middle_of_a_line(tmp_path: Path) -> None:
    """As from a serial port that is opened while the board sends."""
    make_bundle(tmp_path / "six.edge", make_spec(channels=6))
    text = "E-3,0.1,0.2,0,0.1,0\n0.1,-0.3,0.2,0,0.1,0\n"
    done = edge_lstm("run", tmp_path / "six.edge", "--input", "-", "--backend", "numpy", text=text)
    first, second = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 1
    assert first["error"].startswith("channel 'ch0' is 'E-3'; expected a number")
    alone = edge_lstm(
        "run",
        tmp_path / "six.edge",
        "--input",
        "-",
        "--backend",
        "numpy",
        text=text.splitlines()[1],
    )
    assert alone.returncode == 0
    assert {**json.loads(alone.stdout), "line": 2} == second


def test_run_a_wrong_file(classify_file: Path) -> None:
    done = edge_lstm("run", classify_file, "--input", "-", text="time,ch0,ch1\n0,1,2\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "edge-lstm: error: the input's header lacks the channels ['ch2']; it has ['time', 'ch0', "
        "'ch1']; expected ['ch0', 'ch1', 'ch2']\n"
    )


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_run_garbage_after_a_sample(classify_file: Path, locale: str, tmp_path: Path) -> None:
    data = (
        b"1,2,3\n" + "1,2,3 grüße\n".encode("latin-1") + b"\x00\x00,\x01,\x02\n" + b"-1,0.5,0.25\n"
    )
    (tmp_path / "a.csv").write_bytes(data)
    for source, text in (("-", data), (str(tmp_path / "a.csv"), None)):
        done = edge_lstm(
            "run", classify_file, "--input", source, "--backend", "numpy", text=text, LC_ALL=locale
        )
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.returncode == 1, done.stderr
        assert [("error" in a) for a in found] == [False, True, True, False]


def test_run_a_device_that_goes_away(classify_file: Path) -> None:
    # This file opens and its reading fails, as with an unplugged device.
    done = edge_lstm("run", classify_file, "--input", "/proc/self/mem")
    assert done.returncode == 2
    assert done.stderr == "edge-lstm: error: can't read /proc/self/mem: Input/output error\n"


def test_run_answers_each_line_before_the_next(classify_file: Path) -> None:
    with Pipe("run", classify_file, "--input", "-", "--backend", "numpy") as pipe:
        pipe.stdin.write(b"ch0,ch1,ch2\n")
        for n in range(2, 6):
            assert pipe.ask("1,2,3")["line"] == n
        assert "error" in pipe.ask("1,2")
        assert pipe.ask('{"reset": true}') == {"line": 7, "reset": True}
        pipe.stdin.close()
        assert pipe.process.wait(20) == 1


def test_run_into_head_is_quiet(classify_file: Path) -> None:
    run = " ".join(
        f"'{part}'" for part in command("run", classify_file, "--input", "-", "--backend", "numpy")
    )
    script = f"set -o pipefail; yes 1,2,3 | {run} | head -n 1"
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert json.loads(done.stdout)["line"] == 1
    assert done.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [("info",), ("check", "--backend", "numpy"), ("--help",)],
    ids=["info", "check", "help"],
)
def test_a_reader_that_has_gone_is_no_error(
    arguments: tuple[str, ...], classify_file: Path
) -> None:
    bundle = [] if arguments == ("--help",) else [classify_file]
    process = subprocess.Popen(
        command(arguments[0], *bundle, *arguments[1:]),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(20) == 0
    assert err == b""


def test_ctrl_c(classify_file: Path) -> None:
    with Pipe("run", classify_file, "--input", "-", "--backend", "numpy") as pipe:
        pipe.ask("1,2,3")
        pipe.process.send_signal(signal.SIGINT)
        assert pipe.process.wait(20) == 130
        assert pipe.process.stderr is not None
        assert pipe.process.stderr.read() == b"edge-lstm: stopped\n"


def test_a_noisy_library_does_not_reach_the_answers(classify_file: Path, tmp_path: Path) -> None:
    plug_in(tmp_path, "noisy_npu", noisy=NOISY)
    done = edge_lstm(
        "run",
        classify_file,
        "--input",
        "-",
        "--backend",
        "noisy",
        text="1,2,3\n-1,0.5,0.25\n",
        folders=[tmp_path],
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["line"] for line in done.stdout.splitlines()] == [1, 2]
    for noise in ("raw write", "rknn-toolkit-lite2: print", "printf", "version: 2.3.2"):
        assert noise in done.stderr


def test_standard_output_is_given_back(
    classify_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("1,2,3\n")
    here(capfd, "run", classify_file, "--input", tmp_path / "a.csv")
    os.write(1, b"still here\n")
    sys.stdout.write("and here\n")
    sys.stdout.flush()
    assert capfd.readouterr().out == "still here\nand here\n"


def test_run_from_python_with_replaced_streams(
    classify_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("1,2,3\n"))
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    assert cli.main(["run", str(classify_file), "--input", "-", "--backend", "numpy"]) == 0
    assert json.loads(out.getvalue())["line"] == 1


# --- without the NPU ---


@pytest.mark.skipif(HAS_RKNN, reason="rknn-toolkit-lite2 is installed here")
def test_run_says_why_it_does_without_the_npu(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_npu_bundle(tmp_path / "a.edge")
    (tmp_path / "a.csv").write_text("1,2,3\n")
    code, out, err = here(capfd, "run", tmp_path / "a.edge", "--input", tmp_path / "a.csv")
    assert code == 0
    assert len(labels(out)) == 1
    assert re.fullmatch(
        r"edge-lstm: runs on \w+; rknn \(rk3588-fp16\.rknn\): not here: backend 'rknn' needs .*\n",
        err,
    ), err
    code, _, err = here(
        capfd, "run", tmp_path / "a.edge", "--input", tmp_path / "a.csv", "--backend", "numpy"
    )
    assert (code, err) == (0, "")
