"""The commands of docs/fleet.md that a board runs, in their order."""

from __future__ import annotations

from pathlib import Path

from helpers.bundles import make_bundle
from helpers.commands import in_shell
from helpers.documents import ON_BOARD, blocks
from helpers.paths import ROOT

PAGE = (ROOT / "docs/fleet.md").read_text("utf-8")


def test_the_commands_of_the_page(tmp_path: Path) -> None:
    for version, name in enumerate(("mine", "next"), 1):
        model = {"name": "room", "version": version}
        make_bundle(tmp_path / f"{name}.edge", seed=version, model=model)
    (code,) = (
        c for language, c in blocks(PAGE) if language == "sh" and c.startswith(ON_BOARD[:14])
    )
    done = in_shell(code, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    versions = [line.split("version ")[1][0] for line in lines if line.startswith("installed: ")]
    assert versions == ["1", "2", "1", "2"]
    assert [line[:24] for line in lines if line.startswith("current: ")] == [
        "current: room version 2 "
    ]
