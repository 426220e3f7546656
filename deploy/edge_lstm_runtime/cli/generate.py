"""Go on with a text, character by character, with a language model."""

from __future__ import annotations

import argparse

from ..generating import generate
from ..tasks import text_tasks
from ._shared import add_bundle, load_asked, open_named, own_stdout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        f"Go on with a text, character by character, with a model of task {text_tasks()}. Each\n"
        "character is drawn from the model's probabilities and is the model's next input.\n"
        "The same seed on the same backend gives the same text."
    )
    parser.epilog = (
        "examples:\n"
        '  edge-lstm generate prose.edge --prompt "time traveller"\n'
        '  edge-lstm generate prose.edge --prompt "the " --length 1000 --temperature 0.5 '
        "--seed 7 --backend native-int8"
    )
    add_bundle(parser)
    parser.add_argument(
        "--prompt",
        required=True,
        metavar="TEXT",
        help="the text to go on from, in characters that the model knows",
    )
    parser.add_argument(
        "--length",
        type=int,
        default=200,
        metavar="N",
        help="characters to generate (default: %(default)s)",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=0.8,
        metavar="T",
        help="1: the model's own probabilities; less: the likelier characters more often; "
        "0: always the likeliest (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the draws (default: %(default)s)"
    )


def main(arguments: argparse.Namespace) -> int:

    model = load_asked(arguments)
    options = {
        "length": arguments.length,
        "temperature": arguments.temperature,
        "seed": arguments.seed,
    }
    with own_stdout() as out, open_named(model, arguments.backend, arguments.artifact) as session:
        text = generate(session, arguments.prompt, **options)
        out.write(arguments.prompt)
        for character in text:
            out.write(character)
            out.flush()
        out.write("\n")
    return 0
