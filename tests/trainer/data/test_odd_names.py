"""Names that would do something to a terminal are refused before a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_lstm import load_data
from edge_lstm.config.schema import Config
from edge_lstm_runtime.errors import DataError
from helpers.configs import CLASSIFY

Configure = Callable[..., Config]


def write(path: Path, *, channel: str = "a", label: str = "run") -> None:
    rows = [
        f"{k},{-k},{name},s{s}" for s in range(1, 7) for name in ("walk", label) for k in range(30)
    ]
    path.write_text("\n".join([f"{channel},b,activity,subject", *rows]) + "\n")


def test_plain_names_are_taken(configure: Configure, tmp_path: Path) -> None:
    write(tmp_path / "data.csv", label="la\u0308uft \u6e29\u5ea6")
    assert load_data(configure(CLASSIFY)).classes == ("la\u0308uft \u6e29\u5ea6", "walk")


@pytest.mark.parametrize("text", ["\x1b[2J", "\x07", "\u202ex", "\x9b"])
def test_controls_are_refused(text: str, configure: Configure, tmp_path: Path) -> None:
    write(tmp_path / "data.csv", label=f"run{text}")
    with pytest.raises(DataError, match=r"^the class 'run.*' has a control character") as caught:
        load_data(configure(CLASSIFY))
    assert str(caught.value).isascii()
    write(tmp_path / "data.csv", channel=f"a{text}")
    toml = "".join(f"\\U{ord(c):08x}" for c in text)
    with pytest.raises(DataError, match=r"^the channel 'a.*' has a control character") as caught:
        load_data(configure(CLASSIFY, ('["a", "b"]', f'["a{toml}", "b"]')))
    assert str(caught.value).isascii()
