"""Turn a net that another tool trained into a bundle, proved against the original."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from edge_lstm_runtime import ConversionError

from ..asked import check_paths, check_samples, named_model, wanted
from ..imported import check_states, import_net
from ..importers import endings, importer_of
from ..importers._sound import heard
from ._shared import C, add_named, check_target, say
from .export import summary

GOES_ON = True  # the work is more than its output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Read a net that another tool trained, and write it as one bundle file, with a report "
        "beside it. The original runs\nbeside the float64 reference over at least 300 steps. If "
        "one part of the net differs, nothing is written.\nFrom there on the bundle is like any "
        "other: `check`, `run`, `bench`, and `export --target c`."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm import amp.nam --rate 48000 -o amp.edge\n"
        "  edge-lstm import denoise.onnx --samples speech.wav --hop 128 -o denoise.edge\n"
        "  edge-lstm import model.pt2 --samples x.npy --target rk3588 --scheme fp16 -o net.edge"
    )
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help=f"the net: {', '.join(sorted(endings()))}"
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        metavar="NAME.edge",
        help="the bundle to write, with the report NAME.html",
    )
    add_named(parser)
    parser.add_argument(
        "--samples",
        type=Path,
        metavar="FILE",
        help="inputs of the net, a row for each step, in a .npy file or in a .csv file with a "
        "header; or sound in a .wav file, for a net that reads sound as it is: mono 16-bit PCM, of "
        "which as many samples as the net has inputs are a frame, and a frame is a step. The net "
        "is proved and measured with them, and int8 is calibrated with them (default: synthetic "
        "ones, and the bundle says so)",
    )
    parser.add_argument(
        "--rate",
        type=int,
        metavar="HZ",
        help="the net reads sound of this sample rate (default: that of a .wav file in --samples, "
        "else it reads no sound)",
    )
    parser.add_argument(
        "--hop",
        type=int,
        metavar="N",
        help="samples from the start of a frame to that of the next (default: a whole frame)",
    )
    parser.add_argument(
        "--state",
        action="append",
        metavar="IN=OUT",
        help="an input of an ONNX file that is a state, and the output that holds it after the "
        "step; may be repeated (default: they are found)",
    )
    parser.add_argument(
        "--target",
        action="append",
        metavar="NAME",
        help="an NPU of `edge-lstm targets`, may be repeated (default: none)",
    )
    parser.add_argument(
        "--scheme",
        action="append",
        metavar="NAME",
        help="a number format of the target; may be repeated (default: fp16, or the one that "
        "rounds least). All others need --samples",
    )


def main(arguments: argparse.Namespace) -> int:
    targets = arguments.target or ()
    for target in targets:
        check_target(target)
    if C in targets:
        raise ConversionError(
            "--target c takes a bundle; import first, then: edge-lstm export NAME.edge --target c"
        )
    if arguments.scheme and not targets:
        raise ConversionError("--scheme is for an NPU; name it by --target")
    schemes = tuple(dict.fromkeys(arguments.scheme)) if arguments.scheme else None
    formats = wanted(targets, schemes, None, 1, imported=True)
    check_samples(formats, synthetic=arguments.samples is None)
    read = [path for path in (arguments.model, arguments.samples) if path is not None]
    for path in read:
        if not path.is_file():
            raise ConversionError(f"{path}: there is no such file")
    importer_of(arguments.model)
    states = _states(arguments.state or ())
    if states:
        check_states(arguments.model, states)
    heard(arguments.samples, arguments.hop, arguments.rate)
    named_model(arguments.name, arguments.version)
    check_paths(None, arguments.out, read)
    net = import_net(
        arguments.model, arguments.samples, states, hop=arguments.hop, rate=arguments.rate
    )
    say(f"{arguments.model} is the same here as in {net.foreign.original.tool}")
    for words in (*net.step_words, *net.notes):
        say(f"  {words}")
    from ..pipeline import export_run  # takes seconds

    work = export_run(
        net,
        arguments.out,
        targets=targets,
        schemes=schemes,
        name=arguments.name,
        version=arguments.version,
        say=say,
    )
    print(summary(work))
    return 1 if work.left_out or work.doubts else 0


def _states(given: Sequence[str]) -> dict[str, str]:
    """Raises ConversionError for words that are no pair, and for a state that is given twice."""
    found: dict[str, str] = {}
    for words in given:
        before, _, after = words.partition("=")
        if not before or not after:
            raise ConversionError(f"--state is {words!r}; expected IN=OUT, such as h=hn")
        if before in found:
            raise ConversionError(
                f"--state {words}: the state {before!r} is given twice, as {found[before]!r} too"
            )
        found[before] = after
    return found
