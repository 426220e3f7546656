"""The commands of docs/trust.md, in their order."""

from __future__ import annotations

from pathlib import Path

from helpers.bundles import make_bundle
from helpers.commands import in_shell
from helpers.documents import blocks
from helpers.keys import needs_openssh
from helpers.paths import ROOT

PAGE = (ROOT / "docs/trust.md").read_text("utf-8")


@needs_openssh
def test_the_commands_of_the_page(tmp_path: Path) -> None:
    make_bundle(tmp_path / "mine.edge")
    script = [code for language, code in blocks(PAGE) if language == "sh"]
    assert len(script) == 3
    done = in_shell("\n".join(script), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\nnumpy                              ok" in done.stdout
    assert 'Good "edge-lstm-bundle" signature for release@example.com' in done.stdout
