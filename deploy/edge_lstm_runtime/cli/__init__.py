"""The command `edge-lstm`: finds the verbs and runs one.

A verb is a file NAME.py in the folder `cli` of one of the three packages. It parses, calls the
library and prints. The first line of its docstring is its line in `edge-lstm --help`. It has

    add_arguments(parser)          adds options, a description, examples
    main(arguments) -> exit code
    GOES_ON = True                 if its work is more than its output: it goes on to the end if
                                   nobody reads its output any more (`| head`)

A file whose name begins with "_" is no verb.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ConfigError, MissingDependencyError
from ..installed import pip_install
from ..version import __version__
from ._fault import in_one_line
from ._output import Output, streams
from ._parser import Parser
from ._stop import WORDS, Stop, signals

# The packages that hold verbs, and the extra that installs their requirements.
PACKAGES = {"edge_lstm": "train", "edge_lstm_export": "export", "edge_lstm_runtime": None}

CODES = """\
exit codes:
  0    done
  1    done, with a finding: out of tolerance, left out of the bundle, lines that can't be used
  2    an error, told in one line
  130  stopped by SIGINT (Ctrl-C)
  143  stopped by SIGTERM"""


class Verb(NamedTuple):
    module: str
    extra: str | None
    file: Path

    @property
    def summary(self) -> str:
        """Its line in `edge-lstm --help`."""
        doc = ast.get_docstring(ast.parse(self.file.read_text("utf-8"))) or ""
        return doc.partition("\n")[0].rstrip(".")


def verbs() -> dict[str, Verb]:
    """Every verb that is installed, by name.

    Nothing is imported, because PyTorch is missing on a board. Nothing is read, because each start
    of the command calls this.
    """
    found = {}
    for package, extra in PACKAGES.items():
        spec = importlib.util.find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            for file in sorted(Path(folder, "cli").glob("[!_]*.py")):
                found[file.stem] = Verb(f"{package}.cli.{file.stem}", extra, file)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code, see CODES.

    Whatever the operating system does to a command is caught here, and told in one line.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    with signals() as stop, streams() as out:
        try:
            try:
                code = _run(arguments, out, stop)
            except SystemExit as e:  # of --help and --version
                code = e.code if isinstance(e.code, int) else int(e.code is not None)
            out.end()
        except BrokenPipeError:  # the reader of the output is gone, as with `| head`
            return 0
        except BaseException as e:
            stop.began = False  # a second signal ends at once
            if stop.code or isinstance(e, KeyboardInterrupt):  # an import makes another error of it
                print(WORDS, file=sys.stderr)
                return stop.code or 130
            line = in_one_line(e)
            if line is None:
                raise
            print(f"edge-lstm: error: {line}", file=sys.stderr)
            return 2
    return code


def _run(arguments: list[str], out: Output, stop: Stop) -> int:
    known = verbs()
    if not arguments or arguments[0] not in known:
        return _top_level(arguments, known)
    return _run_verb(arguments, known[arguments[0]], out, stop)


def _top_level(arguments: list[str], known: dict[str, Verb]) -> int:
    board = not any(verb.extra for verb in known.values())  # edge-lstm-runtime is here alone
    lines = "\n".join(f"  {name:<11}{verb.summary}" for name, verb in known.items())
    parser = Parser(
        "edge-lstm",
        description="From sensor data to a verified compact recurrent net on an embedded board.",
        epilog=(
            f"verbs:\n{lines}\n\n{CODES}\n\n"
            "`edge-lstm VERB --help` explains one. "
            + (
                f"To train and export: {pip_install('desktop')}"
                if board
                else "Start with: edge-lstm demo"
            )
        ),
    )
    parser.add_argument("--version", action="version", version=f"edge-lstm {__version__}")
    parser.add_argument("verb", choices=known, metavar="VERB", help="what to do")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its arguments")
    if not arguments:
        parser.print_help()
        return 2
    try:
        parser.parse_args(arguments)
    except ConfigError as e:
        if board:
            raise ConfigError(f"{e}; to train and export, run: {pip_install('desktop')}") from e
        raise
    return 2


def _run_verb(arguments: list[str], verb: Verb, out: Output, stop: Stop) -> int:
    name = arguments[0]
    try:
        module: Any = importlib.import_module(verb.module)
        parser = Parser(f"edge-lstm {name}")
        module.add_arguments(parser)
        parsed = parser.parse_args(arguments[1:])
        out.goes_on = getattr(module, "GOES_ON", False)
        stop.began = True
        result: int = module.main(parsed)
    except ModuleNotFoundError as e:
        if verb.extra is None or (e.name or "").split(".")[0] in PACKAGES:
            raise
        raise MissingDependencyError(
            f"{e.name}, which `edge-lstm {name}` needs,", verb.extra
        ) from e
    except MissingDependencyError as e:
        if verb.extra is None or e.extra not in PACKAGES.values():  # or it is of an option
            raise
        # The verb's own extra has this package and everything else that the verb needs.
        raise MissingDependencyError(
            f"{e.package}, which `edge-lstm {name}` needs,", verb.extra
        ) from e
    return result
