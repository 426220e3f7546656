"""The command: help, `info`, and what is not installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

import edge_lstm_runtime
from edge_lstm_runtime import cli, native
from edge_lstm_runtime.model.npz import write_npz
from helpers.bundles import make_bundle, network_outputs
from helpers.commands import command, edge_lstm, environment, here
from helpers.sounds import LOG_MEL, sound, sound_spec
from helpers.specs import language_spec, make_spec
from helpers.weights import random_weights

RUNTIME_VERBS = ("run", "generate", "check", "bench", "info", "serve", "service")


# --- help ---


@pytest.mark.parametrize("verb", RUNTIME_VERBS)
def test_every_verb_explains_itself_with_an_example(
    verb: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = here(capfd, verb, "--help")
    assert code == 0
    assert out.startswith(f"usage: edge-lstm {verb}")
    assert f"edge-lstm {verb} " in out.split("example", 1)[1]
    assert len(out.split("\n\n")[1]) > 60, "no description"


@pytest.mark.parametrize("verb", sorted(set(cli.verbs()) - set(RUNTIME_VERBS)))
def test_desktop_verbs_explain_themselves_or_name_what_is_missing(
    verb: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = here(capfd, verb, "--help")
    if code == 0:
        assert out.startswith(f"usage: edge-lstm {verb}")
        assert len(out.split("\n\n")[1]) > 60, "no description"
    else:
        assert re.search(rf'pip install .*\[{cli.verbs()[verb].extra}\]"', err)


def test_the_top_level_lists_every_verb(capfd: pytest.CaptureFixture[str]) -> None:
    for arguments, expected in (((), 2), (("--help",), 0)):
        code, out, _ = here(capfd, *arguments)
        assert code == expected
        for name, verb in cli.verbs().items():
            assert re.search(rf"^  {name} +{re.escape(verb.summary)}$", out, re.MULTILINE), name


def test_a_start_looks_for_no_other_command_and_no_backend(
    classify_file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Both take longer than the command itself, on a board most of all. Only help needs them."""

    def asked(*_: object) -> None:
        raise AssertionError("it was looked for")

    monkeypatch.setattr(cli.Verb, "summary", property(asked))
    monkeypatch.setattr("edge_lstm_runtime.cli._shared.names", asked)
    code, _, err = here(capfd, "run", classify_file, "--input", "/dev/null", "--backend", "numpy")
    assert (code, err) == (0, "")
    with pytest.raises(AssertionError, match="it was looked for"):
        here(capfd, "run", "--help")


TO_FULL = {
    "run, text": ("run", "PLAIN", "--input", "-", "--backend", "numpy"),
    "run, wav": ("run", "SOUND", "--input", "WAV", "--backend", "numpy"),
    "run, pcm": ("run", "SOUND", "--input", "-", "--format", "s16le", "--backend", "numpy"),
    "generate": ("generate", "TEXT", "--prompt", "a", "--backend", "numpy"),
    "check": ("check", "PLAIN", "--backend", "numpy"),
    "check --json": ("check", "PLAIN", "--json"),
    "bench": ("bench", "PLAIN", "--backend", "numpy", "--steps", "10", "--streams", "2"),
    "bench --json": ("bench", "PLAIN", "--backend", "numpy", "--steps", "10", "--json"),
    "info": ("info", "PLAIN"),
    "info --json": ("info", "PLAIN", "--json"),
    "--help": ("--help",),
    "--version": ("--version",),
    **{f"{verb} --help": (verb, "--help") for verb in RUNTIME_VERBS},
}


@pytest.mark.parametrize("arguments", TO_FULL.values(), ids=TO_FULL)
def test_a_full_disk_at_the_output_is_one_line(
    arguments: tuple[str, ...], classify_file: Path, tmp_path: Path
) -> None:
    names = {"PLAIN": classify_file}
    for word, spec in (("SOUND", sound_spec(LOG_MEL)), ("TEXT", language_spec("abc", hidden=4))):
        if word in arguments:
            names[word] = tmp_path / f"{word}.edge"
            weights = random_weights(spec)
            x = np.zeros((4, spec.input_size))
            y = network_outputs(spec, weights, x)
            golden = {"golden.npz": write_npz({"x": x, "y": y})}
            edge_lstm_runtime.write_bundle(names[word], spec, weights, golden)
    if "WAV" in arguments:
        names["WAV"] = tmp_path / "a.wav"
        with wave.open(str(names["WAV"]), "wb") as wav:
            wav.setparams((1, 2, 8000, 0, "NONE", ""))
            wav.writeframes(sound(LOG_MEL).tobytes())
    data = sound(LOG_MEL).tobytes() if "s16le" in arguments else b"1,2,3\n"
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command(*(names.get(a, a) for a in arguments)),
            input=data,
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            timeout=60,
            check=False,
        )
    *before, last = done.stderr.decode().splitlines()
    assert last == (
        "edge-lstm: error: can't write to standard output: No space left on device; "
        "make room, or send the output elsewhere"
    )
    assert done.returncode == 2
    assert all(
        line.startswith(("edge-lstm: measuring", "ethosu", "native", "onnx", "rknn"))
        for line in before
    )


def test_version() -> None:
    done = edge_lstm("--version")
    assert (done.returncode, done.stdout) == (0, f"edge-lstm {edge_lstm_runtime.__version__}\n")


def test_an_unknown_verb(capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = here(capfd, "depart")
    assert code == 2
    assert "'depart'" in err
    assert "check" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "a.edge"),
        ("check",),
        ("info", "a.edge", "--nonsense"),
        ("info", "a.edge", ""),
        ("info", "a.edge", " ", "--nonsense=1"),
        ("bench", "a.edge", "--steps", "many"),
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_exit_code_2(
    arguments: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = here(capfd, *arguments)
    assert code == 2
    assert not out
    assert re.fullmatch(rf"edge-lstm: error: .*; see `edge-lstm {arguments[0]} --help`\n", err), err


@pytest.mark.parametrize("verb", RUNTIME_VERBS)
def test_a_bundle_that_is_none(
    verb: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = {"run": ("--input", "-"), "generate": ("--prompt", "a"), "serve": ("--http", ":0")}
    more = given.get(verb, ())
    (tmp_path / "bad.edge").write_bytes(b"nothing")
    for name, message in (("none.edge", "No such file"), ("bad.edge", "is not a whole bundle")):
        code, out, err = here(capfd, verb, tmp_path / name, *more)
        assert (code, out) == (2, "")
        assert err.startswith("edge-lstm: error: ")
        assert message in err
        assert err.count("\n") == 1


@pytest.mark.parametrize("verb", ["run", "check", "bench"])
def test_an_unknown_backend(
    verb: str, classify_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    more = {"run": ("--input", os.devnull), "serve": ("--http", ":0")}.get(verb, ())
    code, out, err = here(capfd, verb, classify_file, "--backend", "tpu", *more)
    assert (code, out) == (2, "")
    assert "unknown backend 'tpu'; known here: auto" in err


# --- info ---


def test_info(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bundle = make_bundle(
        tmp_path / "a.edge",
        make_spec(task="forecast", missing="mask"),
        accuracy={"numpy": {"max_abs": 1e-7, "nrmse": 2e-7, "steps": 1000}},
        versions={"numpy": "2.3.5"},
    )
    code, out, err = here(capfd, "info", tmp_path / "a.edge")
    assert (code, err) == (0, "")
    for expected in (
        "forecast: ch0+1, ch1+1, ch0+2",
        "ch0, ch1, ch2 (raw units; missing values: mask)",
        f"model     lstm 8 -> dense 8, {bundle.spec.network.parameters} parameters",
        bundle.manifest["members"]["weights.npz"]["sha256"][:12],
        "max abs 1.00e-07  NRMSE 2.00e-07  over 1000 steps",
        "2.3.5",
    ):
        assert expected in out
    code, out, _ = here(capfd, "info", tmp_path / "a.edge", "--json")
    assert code == 0
    assert json.loads(out) == bundle.manifest


def test_info_names_the_native_kernel_or_why_there_is_none(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bundle(tmp_path / "a.edge")
    monkeypatch.setattr(native, "kernels", lambda: ("neon-dotprod", "neon"))
    code, out, _ = here(capfd, "info", tmp_path / "a.edge")
    assert code == 0
    assert (
        "\nnative    neon-dotprod, neon (the kernels that this machine runs, the fastest first)\n"
        in out
    )
    monkeypatch.undo()
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "_kernel.abi3.so")
    native.library.cache_clear()
    code, out, err = here(capfd, "info", tmp_path / "a.edge")
    native.library.cache_clear()  # the next test's is there again
    assert (code, err) == (0, "")
    assert (
        "\nnative    not here: the native library is not in this installation, which is the pure "
        "wheel or a source folder" in out
    )
    assert "(docs/native.md), or run there: python deploy/hatch_build.py\n" in out


# --- what is not installed ---


def test_a_missing_dependency_names_the_exact_command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # At the import of the verb's module, and inside the verb.
    (tmp_path / "verb_at_import.py").write_text("import no_such_package.part\n")
    (tmp_path / "verb_inside.py").write_text(
        "def add_arguments(parser): pass\ndef main(arguments):\n    import no_such_package\n"
        "    return 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("verb_at_import", "verb_inside"):
        monkeypatch.setattr(cli, "verbs", lambda m=module: {"train": cli.Verb(m, "train", "")})
        code, out, err = here(capfd, "train")
        assert (code, out) == (2, "")
        said = "edge-lstm: error: no_such_package, which `edge-lstm train` needs, is not installed"
        assert re.fullmatch(rf'{said}; run: pip install .*\[train\]".*\n', err)


def test_a_module_of_our_own_that_is_missing_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = cli.Verb("edge_lstm_runtime.no_such_module", "train", "")
    monkeypatch.setattr(cli, "verbs", lambda: {"train": missing})
    with pytest.raises(ModuleNotFoundError):
        cli.main(["train"])
