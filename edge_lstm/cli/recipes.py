"""List the packaged configurations and the data they need."""

from __future__ import annotations

import argparse

from ..recipes import FOLDER
from ..recipes.listing import recipes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "List the packaged configurations, the data each needs, and whether that is there "
        "(docs/recipes.md has their figures).\n"
        "Train one with: edge-lstm train recipe:NAME -o RUN. "
        "To change more than --set does, copy its file."
    )


def main(_: argparse.Namespace) -> int:
    for recipe in recipes():
        state = f"MISSING: {recipe.missing}" if recipe.missing else "there"
        print(f"{recipe.name:<13}{recipe.about}\n{'':<13}data: {recipe.data} ({state})")
    print(f"\nfiles        {FOLDER}/NAME.toml")
    return 0
