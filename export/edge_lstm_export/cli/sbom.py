"""Print a software bill of materials of a bundle or a wheel (CycloneDX)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.files import atomic_write, check_file_writable, failure

from ..sbom import of_bundle, of_wheel

WHEEL = ".whl"
GOES_ON = True  # for those who write a file; without one its output is its work


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print a software bill of materials in JSON, by CycloneDX 1.6. Of a bundle it lists the\n"
        "members, where the model is from, and the packages that made it. Of a wheel it lists the\n"
        "packages that it needs, and the compiled files in it. The same file gives the same bill."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm sbom har.edge -o har.cdx.json\n"
        "  edge-lstm sbom dist/edge_lstm-0.1.0-py3-none-any.whl"
    )
    parser.add_argument(
        "file", type=Path, metavar="BUNDLE|WHEEL", help="NAME.edge, or a wheel (.whl)"
    )
    parser.add_argument(
        "-o", "--out", type=Path, metavar="FILE", help="write it there (default: print it)"
    )


def main(arguments: argparse.Namespace) -> int:
    if arguments.out is not None:
        _check_writable(arguments.file, arguments.out)
    kind = of_wheel if arguments.file.suffix == WHEEL else of_bundle
    text = json.dumps(kind.bill(arguments.file), indent=1, ensure_ascii=True) + "\n"
    if arguments.out is None:
        print(text, end="")
        return 0
    try:
        with atomic_write(arguments.out) as file:
            file.write(text.encode())
    except OSError as e:
        raise ConfigError(f"can't write {arguments.out}: {failure(e)}") from e
    print(f"bill     {arguments.out}")
    return 0


def _check_writable(read: Path, out: Path) -> None:
    """Raises ConfigError."""
    if out.exists() and read.exists() and read.samefile(out):
        raise ConfigError(f"{out} is read, and would be replaced; name another -o")
    try:
        check_file_writable(out)
    except OSError as e:
        raise ConfigError(f"can't write {out}: {e.strerror or e}") from e
