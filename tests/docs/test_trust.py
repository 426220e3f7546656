"""The commands of docs/trust.md, in their order."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from helpers.bundles import make_bundle
from helpers.commands import environment
from helpers.documents import blocks
from helpers.keys import needs_openssh
from helpers.paths import ROOT

PAGE = (ROOT / "docs/trust.md").read_text("utf-8")


@needs_openssh
def test_the_commands_of_the_page(tmp_path: Path) -> None:
    make_bundle(tmp_path / "mine.edge")
    command = shlex.join([sys.executable, "-m", "edge_lstm_command"])
    script = [f'edge-lstm() {{ {command} "$@"; }}']
    script += [code for language, code in blocks(PAGE) if language == "sh"]
    assert len(script) == 4
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "\nnumpy                              ok" in done.stdout
    assert 'Good "edge-lstm-bundle" signature for release@example.com' in done.stdout
