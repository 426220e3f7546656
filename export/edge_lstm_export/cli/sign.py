"""Sign a bundle with an SSH key, for boards that take no other."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_lstm_runtime.trust.check import signature_of
from edge_lstm_runtime.trust.sshsig import fingerprint, public_line

from ..sign import sign_bundle

GOES_ON = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Sign a bundle with an ed25519 key, by OpenSSH's ssh-keygen. The signature is written\n"
        "beside the bundle, BUNDLE.sig. Copy both to the board. There, `--trusted FILE` takes no\n"
        "bundle but one that a key in FILE has signed (docs/trust.md)."
    )
    parser.epilog = "example:\n  edge-lstm sign har.edge --key ~/.ssh/id_ed25519"
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="NAME.edge")
    parser.add_argument(
        "--key",
        type=Path,
        required=True,
        metavar="FILE",
        help="an ed25519 key (ssh-keygen -t ed25519), or its .pub file if your agent has the key",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="FILE",
        help="the signature's file (default: BUNDLE.sig, where --trusted looks for it)",
    )


def main(arguments: argparse.Namespace) -> int:
    out = arguments.out or signature_of(arguments.bundle)
    signature = sign_bundle(arguments.bundle, arguments.key.expanduser(), out)
    print(f"signed   {out}")
    print(f"key      {fingerprint(signature.key)}")
    print(f"trust    NAME {public_line(signature.key)}")
    print("         (with your name, a line of the file that --trusted names on the board)")
    return 0
