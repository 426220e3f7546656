"""How the converter's environment is made: only from files with the hashes that were locked.

Here it has one small package of our own, from a folder of wheels and without a network.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_lstm_export.npu.rknn.environment import ENVIRONMENT
from edge_lstm_export.npu.worker import making
from edge_lstm_export.npu.worker.environment import Environment
from edge_lstm_runtime import ConversionError
from helpers.converter import NEEDS_CONVERTER
from helpers.faults import without_network
from helpers.locks import make_wheel

pytestmark = NEEDS_CONVERTER
PROBE = "edge_lstm_probe"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where pip and uv look, and an empty cache."""
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))
    without_network(tmp_path, monkeypatch)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setattr(making, "_try_out", lambda *_: {"python": "-", "rknn-toolkit2": "-"})
    return tmp_path / "wheels"


def ask_for(monkeypatch: pytest.MonkeyPatch, *digests: str) -> None:
    hashes = "".join(f" --hash=sha256:{digest}" for digest in digests)
    monkeypatch.setattr(Environment, "requirements", lambda _: f"edge-lstm-probe==1{hashes}\n")


def make() -> Path:
    """The module of the package, as it was installed."""
    made = making.interpreter(ENVIRONMENT, lambda _: None).parent.parent
    (module,) = made.glob(f"lib/python*/site-packages/{PROBE}.py")
    return module


def fails(message: str) -> str:
    with pytest.raises(ConversionError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
    assert list(ENVIRONMENT.home.parent.iterdir()) == [], "something was left"
    return str(caught.value)


def test_the_file_that_was_locked_is_taken(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_for(monkeypatch, "0" * 64, make_wheel(wheels, PROBE, "good = True\n"))
    assert make().read_text() == "good = True\n"
    assert ENVIRONMENT.state().damage is None


@pytest.mark.parametrize("lenient", [False, True])
def test_an_altered_file_is_refused(
    wheels: Path, monkeypatch: pytest.MonkeyPatch, lenient: bool
) -> None:
    """It is whole, of the right name and version, and its own RECORD fits."""
    ask_for(monkeypatch, make_wheel(wheels, PROBE, "good = True\n"))
    altered = make_wheel(wheels, PROBE, "good = None\n")
    if lenient:
        monkeypatch.setenv("UV_NO_VERIFY_HASHES", "1")
    said = fails(r"`uv pip install` failed \(.*ash mismatch")
    assert altered in said
    assert said.endswith("nothing of it was installed; find out who changed it")


def test_a_package_without_a_hash_is_refused(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(wheels, PROBE, "good = True\n")
    ask_for(monkeypatch)
    fails(r"--require-hashes")


def test_a_source_is_not_built(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build would take what it needs from anywhere."""
    import hashlib
    import io
    import tarfile

    wheels.mkdir()
    path = wheels / "edge_lstm_probe-1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (
            ("PKG-INFO", b"Metadata-Version: 2.1\nName: edge-lstm-probe\nVersion: 1\n"),
            ("setup.py", b"raise SystemExit('this code was run')\n"),
        ):
            member = tarfile.TarInfo(f"edge_lstm_probe-1/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    ask_for(monkeypatch, hashlib.sha256(path.read_bytes()).hexdigest())
    assert "this code was run" not in fails("no usable wheels|no wheels|building")


def test_a_change_after_it_was_made_is_noticed(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as before, and known to uv, which would only look for its size."""
    ask_for(monkeypatch, make_wheel(wheels, PROBE, "good = True\n"))
    module = make()
    module.unlink()  # it may be a link to the one in uv's cache
    module.write_text("good = None\n")
    assert ENVIRONMENT.state().damage == "the content of its files is not what was installed"
    said: list[str] = []
    making.interpreter(ENVIRONMENT, said.append)
    assert re.search(r"is damaged \(the content of its files .*; making it again$", said[0])
    assert module.read_text() == "good = True\n"
    assert ENVIRONMENT.state().damage is None


def test_other_requirements_are_another_environment(
    wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if its folder gets the name of the one that they ask for."""
    ask_for(monkeypatch, make_wheel(wheels, PROBE, "good = True\n"))
    make()
    old = ENVIRONMENT.home
    ask_for(monkeypatch, "0" * 64, make_wheel(wheels, PROBE, "good = True\n"))
    assert ENVIRONMENT.state().damage == ""
    old.rename(ENVIRONMENT.home)
    assert ENVIRONMENT.state().damage == "the content of its files is not what was installed"
