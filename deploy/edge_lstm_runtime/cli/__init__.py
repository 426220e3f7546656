"""The command `edge-lstm`: finds the verbs and runs one.

A verb is a file NAME.py in the folder `cli` of one of the three packages. It parses, calls the
library and prints. The first line of its docstring is its line in `edge-lstm --help`. It has

    add_arguments(parser)          adds options, a description, examples
    main(arguments) -> exit code

A file whose name begins with "_" is no verb.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import EdgeLstmError, MissingDependencyError
from ..version import __version__
from ._output import Output

# The packages that hold verbs, and the extra that installs their requirements.
PACKAGES = {"edge_lstm": "train", "edge_lstm_export": "export", "edge_lstm_runtime": None}


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
    """Run one verb and return its exit code.

    0: done. 1: done with a finding (out of tolerance, bad samples). 2: an error. 130: interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        out: Any = Output(sys.stdout)
        with contextlib.redirect_stdout(out):
            try:
                return _run(arguments)
            finally:
                out.flush()  # here, so that a closed pipe or a full disk is caught below
    except EdgeLstmError as e:
        print(f"edge-lstm: error: {e}", file=sys.stderr)
        return e.exit_code
    except BrokenPipeError:  # the reader of the output is gone, as with `| head`
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except KeyboardInterrupt:
        print("edge-lstm: stopped", file=sys.stderr)
        return 130


def _run(arguments: list[str]) -> int:
    known = verbs()
    if not arguments or arguments[0] not in known:
        return _top_level(arguments, known)
    return _run_verb(arguments[0], known[arguments[0]], arguments[1:])


def _top_level(arguments: list[str], known: dict[str, Verb]) -> int:
    lines = "\n".join(f"  {name:<11}{verb.summary}" for name, verb in known.items())
    parser = argparse.ArgumentParser(
        "edge-lstm",
        description="From sensor data to a verified compact recurrent net on an embedded board.",
        epilog=(
            f"verbs:\n{lines}\n\n`edge-lstm VERB --help` explains one. Start with: edge-lstm demo"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"edge-lstm {__version__}")
    parser.add_argument("verb", choices=known, metavar="VERB", help="what to do")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its arguments")
    if not arguments:
        parser.print_help()
        return 2
    parser.parse_args(arguments)
    return 2


def _run_verb(name: str, verb: Verb, arguments: list[str]) -> int:
    try:
        module: Any = importlib.import_module(verb.module)
        parser = argparse.ArgumentParser(
            f"edge-lstm {name}", formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(parser)
        result: int = module.main(parser.parse_args(arguments))
    except ModuleNotFoundError as e:
        if verb.extra is None or (e.name or "").split(".")[0] in PACKAGES:
            raise
        raise MissingDependencyError(
            f"{e.name}, which `edge-lstm {name}` needs,", verb.extra
        ) from e
    except MissingDependencyError as e:
        if verb.extra is None:
            raise
        # The verb's own extra has this package and everything else that the verb needs.
        raise MissingDependencyError(
            f"{e.package}, which `edge-lstm {name}` needs,", verb.extra
        ) from e
    return result
