"""Names and notes of a file from elsewhere do nothing to a terminal."""

from __future__ import annotations

import ast
import io
import sys
import unicodedata
from pathlib import Path

import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime.cli._output import Output, Progress
from edge_lstm_runtime.shown import in_a_line, is_plain, shown
from helpers.broken_bundles import refused, rewritten
from helpers.bundles import make_bundle, members_of
from helpers.commands import here
from helpers.specs import make_spec
from helpers.weights import random_weights

# A title, a cleared screen, C1's CSI, a bell, a line of its own, a right-to-left override, a
# zero-width space, a tag, a separator of lines, half a pair.
EVIL = (
    "\x1b]0;owned\x07", "\x1b[2J", "\x9b2J", "\x7f", "a\rb", "\nok  native", "\u202eexe",
    "\u2066x\u2069", "a\u200bb", "\U000e0041", "\u2028", "\ud800", "\x00", "\ufeff",
)  # fmt: skip
FINE = ("", "walking", "é", "温度 °C", "a\xa0b", "نیم\u200cفاصله", "👩\u200d🔬", "a 'b' \"c\" \\")


@pytest.mark.parametrize("text", FINE)
def test_what_is_plain_stays(text: str) -> None:
    assert shown(text) == in_a_line(text) == text
    assert is_plain(text)
    assert shown(f"{text}\n\t{text}\n") == f"{text}\n\t{text}\n"


@pytest.mark.parametrize("text", EVIL)
def test_controls_become_escapes(text: str) -> None:
    assert not is_plain(text)
    assert in_a_line(text).isprintable()
    assert shown(text).replace("\n", "").isprintable()
    assert ast.literal_eval(f'"{in_a_line(text)}"') == text


def test_every_control_there_is() -> None:
    """By Unicode's own list of categories, but for the two joiners."""
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        kind = unicodedata.category(character)
        if kind in ("Cc", "Zl", "Zp", "Cs"):
            assert in_a_line(character).isascii(), hex(number)
            assert shown(character) == (character if character in "\n\t" else in_a_line(character))
        if unicodedata.bidirectional(character) in (
            "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
        ):  # fmt: skip
            assert in_a_line(character).isascii(), hex(number)


def test_both_streams_are_cleaned() -> None:
    for kind in (Output, Progress):
        stream = io.StringIO()
        written = kind(stream).write("a \x1b[2J\tb\n")
        assert (written, stream.getvalue()) == (9, "a \\x1b[2J\tb\n")


def evil_file(path: Path) -> Path:
    """A bundle with such names, as an earlier version or another writer would make it."""
    spec = make_spec(channels=[f"c{k}{text}" for k, text in enumerate(EVIL[:11])], outputs=2)
    answer = type(spec.answer)(("\x1b[31mwalking", "run\nok  native"))
    spec = rt.ModelSpec(spec.inputs, spec.network, answer)
    weights = random_weights(spec)
    rt.write_bundle(
        path,
        spec,
        weights,
        members_of(spec, weights),
        left_out={"model.onnx\x1b[2J": "it is\noff\x1b[1A"},
        versions={"numpy\x07": "2\x1b[2J\n"},
    )
    return path


def test_info_shows_no_control(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plain = make_bundle(tmp_path / "plain.edge", make_spec(channels=11, outputs=2))
    code, expected, _ = here(capfd, "info", tmp_path / "plain.edge")
    assert plain.spec.input_size == 11
    code, out, err = here(capfd, "info", evil_file(tmp_path / "a.edge"))
    assert (code, err) == (0, "")
    assert out.replace("\n", "").isprintable()
    assert "\\x1b[31mwalking, run\\nok  native\n" in out
    # no name makes a line of its own: left out, made with and numpy's are three more
    assert len(out.splitlines()) == len(expected.splitlines()) + 3
    assert "left out  model.onnx\\x1b[2J: it is\\noff\\x1b[1A\n" in out


def test_answers_and_errors_show_no_control(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    evil_file(tmp_path / "a.edge")
    (tmp_path / "in.csv").write_text(",".join("0" * 11) + "\n")
    for arguments in (
        ("run", tmp_path / "a.edge", "--input", tmp_path / "in.csv", "--backend", "numpy"),
        ("check", tmp_path / "a.edge", "--backend", "numpy"),
        ("check", tmp_path / "a.edge", "--backend", "onnx"),
        ("info", tmp_path / "no\x1b[2J\nsuch.edge"),
        ("run", tmp_path / "a.edge", "--input", tmp_path / "\x1b[2J\nno"),
        ("run", tmp_path / "a.edge", "--input", "-", "--backend", "\x1b[2J"),
        ("\x1b[2J",),
    ):
        _, out, err = here(capfd, *arguments)
        assert out or err
        assert (out + err).replace("\n", "").isprintable(), arguments


def test_a_members_name_is_refused(tmp_path: Path) -> None:
    make_bundle(tmp_path / "a.edge")

    def add(manifest: dict, members: dict[str, bytes]) -> None:  # type: ignore[type-arg]
        members["model\x1b[2J\n.onnx"] = b""
        manifest["members"]["model\x1b[2J\n.onnx"] = {}

    error = refused(
        tmp_path / "a.edge",
        rewritten((tmp_path / "a.edge").read_bytes(), add),
        "has members whose names have control characters",
    )
    assert in_a_line(str(error)) == str(error)


def test_onnx_runtime_prints_nothing_of_a_graph(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its own log goes to standard error past Python, with the names of nodes in it."""
    bundle = make_bundle(tmp_path / "a.edge", form="fused")
    model = bundle.members["model.onnx"]
    for data in (model[: len(model) // 2], model.replace(b"LSTM", b"\x1b[2J"), b"\xc3" + model):
        members = {**bundle.members, "model.onnx": data}
        del members["weights.npz"]
        other = rt.write_bundle(tmp_path / "b.edge", bundle.spec, bundle.weights, members)
        with pytest.raises(rt.BackendError) as caught:
            rt.Model(other).session("onnx")
        assert is_plain(str(caught.value))
    assert capfd.readouterr() == ("", "")
