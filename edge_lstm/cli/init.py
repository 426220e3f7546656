"""Write a training configuration from a file or a folder of data."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from shlex import quote

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.files import atomic_write, check_file_writable

from ..guess.ask import Ask, steps
from ..guess.guessed import Guessed, guessed
from ..guess.roles import Stated
from ..tasks import TASKS

GOES_ON = True  # the work is more than its output
DESCRIPTION = """\
Look at a file or a folder of recordings, and write a training configuration for it: a TOML file in
which a comment says for each key why. It asks what it can't be sure of, and Enter takes the guess.
The file trains as it is."""

EPILOG = """\
examples:
  edge-lstm init recordings/                       # a folder, a recording in each file; asks
  edge-lstm init plant.csv --yes                   # takes every guess: plant.toml
  edge-lstm init bikes.csv --target users --horizon 1,24 -o bikes.toml
  edge-lstm init engines.csv --task regress --target life --group unit
  edge-lstm init words/ --pattern '(?P<label>[a-z]+)_(?P<group>[a-z]+)_\\d+'

It reads text with any separator (.csv, .txt, .tsv, .dat, packed by gzip too), decimal commas,
.parquet, .npz, .ts, folders of .wav, and plain text. It looks for
  the class     in a column, in the names of folders (walk/01.csv) or of files (walk_01.csv)
  the time      of rows, its format and unit, and how often there is a row
  recordings    that a column tells apart, such as a subject or a station
  a season      in what is to be forecast, words and codes for missing values, the split
Then: edge-lstm data NAME.toml shows what is there, edge-lstm train NAME.toml -o RUN trains."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("data", metavar="DATA", type=Path, help="a file or a folder")
    parser.add_argument(
        "-o",
        "--out",
        metavar="NAME.toml",
        type=Path,
        help="the file to write (default: the name of the data, here)",
    )
    parser.add_argument("--yes", "-y", action="store_true", help="ask nothing, take every guess")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    known = ", ".join(TASKS.names())
    parser.add_argument("--task", metavar="TASK", help=f"what is to be learned: {known}")
    parser.add_argument(
        "--label", metavar="COLUMN", help="of classes; none if there is no such one"
    )
    parser.add_argument(
        "--target",
        metavar="COLUMN",
        action="append",
        default=[],
        help="a column to forecast or to answer; may be repeated",
    )
    parser.add_argument(
        "--horizon", metavar="STEPS", help="how far ahead to forecast: 12, or steps such as 1,24"
    )
    parser.add_argument("--time", metavar="COLUMN", help="of times; none to leave times out")
    parser.add_argument("--group", metavar="COLUMN", help="that tells recordings apart; or none")
    parser.add_argument(
        "--channel",
        metavar="COLUMN",
        action="append",
        default=[],
        help="an input; may be repeated. All columns of numbers that tell something by default",
    )
    parser.add_argument(
        "--pattern",
        metavar="REGEX",
        help="what names of files look like, with the parts (?P<label>...) and (?P<group>...)",
    )


def main(args: argparse.Namespace) -> int:
    out: Path = args.out or Path(f"{_stem(args.data)}.toml")
    if out.suffix.lower() != ".toml":
        raise ConfigError(f"-o {out}: expected a name that ends in .toml")
    if out.exists() and not args.force:
        raise ConfigError(f"{out}: is there already; expected a new name (-o), or --force")
    check_file_writable(out)
    found = guessed(args.data, out, _stated(args), Ask(yes=args.yes))
    try:
        text = found.text.encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"{args.data}: a name is no UTF-8, as TOML has to be; rename it"
        ) from None
    with atomic_write(out) as file:
        file.write(text)
    print(closing(found, out))
    return 0


def _stem(data: Path) -> str:
    name = data.resolve().name
    return name.split(".")[0] or "mine"


def _stated(args: argparse.Namespace) -> Stated:
    horizon = None
    if args.horizon is not None:
        try:
            given = steps(args.horizon)
        except ValueError as e:
            raise ConfigError(f"--horizon {args.horizon}: {e}") from None
        horizon = given if isinstance(given, int) else tuple(given)
    if args.pattern is not None:
        try:
            re.compile(args.pattern)
        except re.error as e:
            raise ConfigError(f"--pattern {args.pattern}: is no regular expression: {e}") from None
    time = None if args.time is None else () if args.time == "none" else (args.time,)
    return Stated(
        task=args.task,
        label=args.label,
        group=args.group,
        time=time,
        targets=tuple(args.target),
        channels=tuple(args.channel),
        horizon=horizon,
        pattern=args.pattern,
    )


def closing(found: Guessed, out: Path) -> str:
    """What was found, in some lines, and what to type next."""
    config = found.config
    lines = [f"data            source {config.data.source}, {_amount(found)}"]
    if found.splits.classes and not config.data.characters:
        lines.append(f"classes         {len(found.splits.classes)}: {_some(found.splits.classes)}")
    names = found.splits.channels
    lines.append(f"inputs          {len(names)}: {_some(names)}")
    lines.append(f"task            {config.model.task}, split by {config.data.split.by}")
    lines += [f"note            {note}" for note in found.splits.notes]
    lines.append(f"written         {out}")
    lines.append(f"next            edge-lstm data {quote(str(out))}")
    lines.append(
        f"                edge-lstm train {quote(str(out))} -o {quote(f'runs/{out.stem}')}"
    )
    return "\n".join(lines)


def _amount(found: Guessed) -> str:
    count = len(found.facts.recordings)
    return f"{count:,} recording{'s' if count > 1 else ''}, {found.facts.rows:,} steps"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
