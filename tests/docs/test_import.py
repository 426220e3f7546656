"""docs/import.md is run, block by block, in one folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edge_lstm_runtime as rt
from helpers.commands import environment
from helpers.jobs import NET
from helpers.paths import ROOT

PAGE = (ROOT / "docs" / "import.md").read_text("utf-8")
DATA = [Path(p) for p in (os.environ.get("EDGE_LSTM_DATA"), ROOT.parent / "shared" / "data") if p]
NETS = next((folder for folder in DATA if (folder / "nets").is_dir()), None)


@pytest.mark.slow
@pytest.mark.skipif(NETS is None, reason="EDGE_LSTM_DATA names no folder with nets/")
def test_the_page_from_top_to_bottom(tmp_path: Path) -> None:
    """Its first block is of a net that the page makes later, so it is run last."""

    found = re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    blocks = [*found[1:], found[0]]
    assert len(blocks) == 10
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(600, 6)))
    (tmp_path / "amp.json").write_text(NET)
    np.save(tmp_path / "amp.npy", np.random.default_rng(0).normal(size=(600, 1)))
    python = "".join(code for language, code in blocks if language == "python")
    command = f'edge-lstm() {{ {shlex.quote(sys.executable)} -m edge_lstm_command "$@"; }}\n'
    shell = "".join(code for language, code in blocks if language == "sh")
    for words in ([sys.executable, "-c", python], ["bash", "-ec", command + shell]):
        done = subprocess.run(
            words,
            cwd=tmp_path,
            env={**environment(), "EDGE_LSTM_DATA": str(NETS)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for name in ("net", "same", "from-python", "dtln", "silero", "amp", "keras"):
        assert rt.load(tmp_path / f"{name}.edge").spec.answer.task == "values"
    assert (tmp_path / "net-c" / "Makefile").is_file()
