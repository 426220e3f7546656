"""Stream samples through a bundle: CSV or JSON lines in, JSON lines out."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import ConfigError
from ..feeds import pcm, sound
from ..feeds.blocks import Blocks
from ..feeds.source import STDIN, Gate, Source, unreadable
from ..feeds.wav_file import WavFile
from ..inputs import sound_of
from ..shown import counted
from ._kept import Kept, add_state, kept
from ._output import Output
from ._shared import (
    add_bundle,
    add_text_form,
    load_asked,
    open_named,
    own_stdout,
    text_blocks,
    text_form,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Stream samples through a bundle, one answer a line. No line waits for the next one, so\n"
        "the command works in a pipe. The state is carried from line to line. A line that can't\n"
        "be used gets an error line with its number, leaves the state as it was, and makes the\n"
        "exit code 1 at the end. That goes for the first line too: half a line or a boot message\n"
        "does no harm.\n"
        "A bidirectional model answers whole sequences. A sequence ends with the input, at a line\n"
        '{"reset": true}, or after --reset-every N samples. Until then its lines are kept in\n'
        "memory. They are answered in their order."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm run har.edge --input recording.csv\n"
        '  echo "[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]" | edge-lstm run har.edge --input -\n'
        "  edge-lstm run digits.edge --input seven.wav --every 10\n"
        "  arecord -f S16_LE -r 8000 -t raw | edge-lstm run digits.edge --input - --format s16le\n"
        "  edge-lstm run amp.edge --input guitar.wav --output loud.wav\n"
        "A text has a header with the channels' names, or just the numbers in the order of\n"
        "`edge-lstm info`. Separator, decimal mark, words for a missing value and times are those\n"
        "of the file that the model was trained on. If a header names some of the channels and\n"
        "lacks others, the run ends (the wrong file).\n"
        "JSON lines are lists, or objects with the channels' names. The line\n"
        '{"reset": true} sets the state to zero.\n'
        "A model with a front end, or imported with a sample rate, takes sound too, mono 16-bit\n"
        "PCM at that rate, and answers each frame. If it maps sound to sound, --output writes a\n"
        "wav file of the same length, in which each sample is at its own place.\n"
        "If the model has a dt channel, a header or an object may have the column of times\n"
        "(datetimes or seconds) in its place. A calendar's channel takes datetimes too, in UTC\n"
        "if they name no zone.\n"
        'An answer has "out_of_range" with the channels whose value is far outside of the\n'
        'training\'s range. Its sample stays in the state. It has the "id" and "ts" of a JSON\n'
        "object, unless a channel has that name.\n"
        "With --state FILE, the next start goes on where this one ended, by a signal too:\n"
        "  sensor | edge-lstm run pump.edge --input - --state pump.state"
    )
    add_bundle(parser)
    add_text_form(parser)
    parser.add_argument(
        "--input",
        required=True,
        metavar="FILE|-",
        help="CSV, JSON lines or a .wav file; - for standard input",
    )
    parser.add_argument(
        "--format",
        choices=("auto", "text", "wav", "s16le"),
        default="auto",
        help="of the input: auto (wav for a file .wav, else text), text (CSV or JSON lines), wav, "
        "s16le (raw 16-bit little-endian PCM)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="NAME.wav",
        help="write the answers as sound, mono 16-bit PCM at the input's rate, in place of lines: "
        "for nets that map sound to sound",
    )
    parser.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="answer every Nth sample or frame and the last one (default: %(default)s)",
    )
    parser.add_argument(
        "--reset-every",
        type=int,
        default=0,
        metavar="N",
        help="set the state to zero after every N samples or frames (default: never)",
    )
    parser.add_argument(
        "--reopen",
        action="store_true",
        help="if the writer of the FIFO or device goes away, wait for it and go on, with the state "
        "as it was",
    )
    add_state(parser)


def main(arguments: argparse.Namespace) -> int:

    if arguments.reset_every < 0:
        raise ConfigError(f"--reset-every is {arguments.reset_every}; expected 0 (never) or more")
    if arguments.every < 1:
        raise ConfigError(f"--every is {arguments.every}; expected at least 1")
    format_ = arguments.format
    if format_ == "auto":
        format_ = "wav" if arguments.input.lower().endswith(".wav") else "text"
    if arguments.reopen and format_ == "wav":
        raise ConfigError("--reopen is for lines of text and --format s16le, not for wav files")
    if arguments.output is not None:
        _check_output(arguments, format_)
    if format_ != "text":
        if arguments.separator is not None or arguments.decimal is not None:
            raise ConfigError("--separator and --decimal are for lines of text, not for sound")
        with kept(arguments) as state:
            return _run_sound(arguments, format_, state)
    with kept(arguments) as state:
        return _run_lines(arguments, state)


def _run_lines(arguments: argparse.Namespace, state: Kept | None) -> int:
    model = load_asked(arguments)
    form = text_form(model.spec.inputs, arguments)
    skipped = 0 if arguments.input == STDIN else form.skip_rows
    if state is not None:
        state.read(model)
    with (
        text_blocks(arguments.input, form, reopen=arguments.reopen, gate=state) as blocks,
        own_stdout() as out,
        open_named(model, arguments.backend, arguments.artifact) as session,
    ):
        feed = Blocks(
            session, arguments.reset_every, every=arguments.every, form=form, skip_rows=skipped
        )
        _answer(feed, _watched(feed, feed.texts(blocks, goes_on=state is not None)), out, state)
    if feed.errors:
        print(
            f"edge-lstm: {counted(feed.errors, 'line')} could not be used; see the answers with an "
            '"error"',
            file=sys.stderr,
        )
    return 1 if feed.errors else 0


def _answer(
    feed: Blocks | pcm.Texts, texts: Iterator[str], out: Output, state: Kept | None
) -> None:
    if state is not None:
        state.answer(feed, texts, out)
        return
    for text in texts:
        out.write(text)
        out.flush()


def _watched(feed: Blocks, texts: Iterator[str]) -> Iterator[str]:
    """The same texts. If steps of time are odd, standard error says so once."""
    warned = False
    for text in texts:
        if feed.odd_step and not warned:
            warned = True
            print(_other_steps(feed.odd_step, feed.session.spec.inputs.elapsed), file=sys.stderr)
        yield text


@contextlib.contextmanager
def _samples(
    arguments: argparse.Namespace, format_: str, sample_rate: int, gate: Gate | None
) -> Iterator[Iterator[sound.Int16]]:
    """Raises ConfigError."""
    name = arguments.input
    if format_ == "s16le":
        with Source(name, reopen=arguments.reopen, gate=gate) as source:
            yield sound.samples_of(source.chunks(sound.CHUNK), gate)
        return
    with contextlib.ExitStack() as opened:
        try:
            file = (
                sys.stdin.buffer if name == STDIN else opened.enter_context(Path(name).open("rb"))
            )
        except OSError as e:
            raise unreadable(name, e) from e
        yield _readable(name, sound.wav_chunks(file, name, sample_rate, gate))


def _readable(name: str, chunks: Iterator[sound.Int16]) -> Iterator[sound.Int16]:
    try:
        yield from chunks
    except OSError as e:
        raise unreadable(name, e) from e


def _other_steps(line: int, name: str) -> str:
    return (
        f"edge-lstm: line {line}: the time since the sample before ({name!r}) is more "
        "than 100 times outside of the training's steps; are the times in another unit? This is "
        'said once; "out_of_range" marks each such sample'
    )


def _check_output(arguments: argparse.Namespace, format_: str) -> None:
    """Raises ConfigError."""
    if arguments.output.suffix.lower() != ".wav":
        raise ConfigError(f"--output is {str(arguments.output)!r}; expected a name like out.wav")
    if format_ == "text":
        raise ConfigError(
            "--output is for sound; give a .wav file as --input, or --format s16le or wav"
        )
    if arguments.every != 1:
        raise ConfigError("--every is for answers in lines, and --output writes none")
    if arguments.state is not None:
        raise ConfigError("--state is for answers in lines, and --output writes none")


def _run_sound(arguments: argparse.Namespace, format_: str, state: Kept | None) -> int:
    model = load_asked(arguments)
    rate = sound_of(model.spec.inputs).sample_rate
    if arguments.output is not None:
        pcm.mapped(model.spec)
        wav = WavFile(arguments.output, rate)
    if state is not None:
        state.read(model)
    with (
        _samples(arguments, format_, rate, state) as chunks,
        own_stdout() as out,
        open_named(model, arguments.backend, arguments.artifact) as session,
    ):
        if arguments.output is not None:
            start = time.perf_counter()
            try:
                wav.write(pcm.Heard(session).pieces(chunks, arguments.reset_every))
            finally:
                if wav.samples:
                    print(_summary(wav, rate, time.perf_counter() - start), file=sys.stderr)
            return 0
        feed = pcm.Texts(session, every=arguments.every, reset_every=arguments.reset_every)
        _answer(feed, feed.texts(chunks, goes_on=state is not None), out, state)
    return 0


def _summary(wav: WavFile, rate: int, seconds: float) -> str:
    length = wav.samples / rate
    clipped = f"; {wav.clipped} samples were clipped" if wav.clipped else ""
    times = f"{length / seconds:.3g} times real time"
    return f"edge-lstm: {wav.path}: {length:.2f} s of sound in {seconds:.2f} s, {times}{clipped}"
