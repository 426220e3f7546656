"""A bundle that a trusted key has signed is loaded, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime.trust import check
from helpers.bundles import make_bundle
from helpers.commands import here
from helpers.keys import make_key, needs_openssh, sign

pytestmark = needs_openssh


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder: a.edge, its signature by the key `mine`, the key `yours`, and `trusted`, a file."""
    folder = tmp_path_factory.mktemp("signed")
    make_bundle(folder / "a.edge", provenance={"trained": "2026-03-01T12:00:00Z"})
    mine = make_key(folder / "mine")
    make_key(folder / "yours")
    sign(folder / "a.edge", folder / "mine")
    (folder / "trusted").write_text(f"me@here {mine}\n")
    return folder


@pytest.fixture
def place(signed: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    for path in signed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / path.name).chmod(0o600)
    return tmp_path


def key_of(place: Path, name: str = "mine") -> str:
    return " ".join((place / f"{name}.pub").read_text().split()[:2])


def refused(place: Path) -> str:
    with pytest.raises(rt.SignatureError) as caught:
        rt.load(place / "a.edge", trusted=place / "trusted")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_signed_bundle_is_loaded_and_answers(place: Path) -> None:
    x = np.ones((3, 3))
    with rt.load(place / "a.edge").session("numpy") as s:
        expected = s.run(x)
    with rt.load(place / "a.edge", trusted=str(place / "trusted")).session("numpy") as s:
        assert np.array_equal(s.run(x), expected)


@pytest.mark.parametrize("spoiled", ["altered", "other"])
def test_a_tampered_bundle(place: Path, spoiled: str) -> None:
    if spoiled == "altered":
        data = bytearray((place / "a.edge").read_bytes())
        data[len(data) // 2] ^= 1
        (place / "a.edge").write_bytes(data)
    else:  # whole, with checksums of its own
        make_bundle(place / "a.edge", seed=1)
        rt.load(place / "a.edge")
    assert "a.edge is not what me@here (SHA256:" in refused(place)


def test_a_tampered_signature(place: Path) -> None:
    lines = (place / "a.edge.sig").read_text().split("\n")
    last = lines[-3]
    lines[-3] = ("B" if last[0] == "A" else "A") + last[1:]
    (place / "a.edge.sig").write_text("\n".join(lines))
    assert "is not what me@here (SHA256:" in refused(place)


def test_no_signature(place: Path) -> None:
    (place / "a.edge.sig").unlink()
    assert "can't read the signature" in refused(place)
    (place / "a.edge.sig").mkdir()
    assert "Is a directory" in refused(place)
    (place / "a.edge.sig").rmdir()
    (place / "a.edge.sig").write_bytes(bytes(70_000))
    assert "has more than 65536 bytes" in refused(place)


def test_a_wrong_key(place: Path) -> None:
    sign(place / "a.edge", place / "yours")
    message = refused(place)
    assert "is signed by the key SHA256:" in message
    assert f"which is not in {place / 'trusted'}" in message


def test_an_expired_key(place: Path) -> None:
    (place / "trusted").write_text(f'me valid-before="20260401Z" {key_of(place)}\n')
    assert "line 1: it has expired on 2026-04-01 00:00:00Z, and it is 20" in refused(place)


def test_a_key_of_another_type_and_a_signature_for_another_thing(place: Path) -> None:
    make_key(place / "rsa", "rsa")
    sign(place / "a.edge", place / "rsa")
    assert "a key of type 'ssh-rsa', and ssh-ed25519 alone is supported" in refused(place)
    sign(place / "a.edge", place / "mine", "git")
    assert "is a signature for 'git', expected 'edge-lstm-bundle'" in refused(place)


def test_a_clock_that_is_before_the_bundle_cannot_judge_an_expiry(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A board without a battery begins in 1970: an expired key would count."""
    monkeypatch.setattr(check.time, "time", lambda: 1000.0)
    rt.load(place / "a.edge", trusted=place / "trusted")  # no expiry, so no clock
    (place / "trusted").write_text(f'me valid-before="20260401Z" {key_of(place)}\n')
    message = refused(place)
    assert (
        "was trained on 2026-03-01T12:00:00Z, and the clock of this machine says 1970-01-01"
        in message
    )
    assert "the expiry of me's key can't be judged; set the clock" in message
    for seconds, fine in ((1772236799, False), (1772236800, True)):  # 2026-02-28 UTC
        monkeypatch.setattr(check.time, "time", lambda seconds=seconds: float(seconds))
        if fine:
            rt.load(place / "a.edge", trusted=place / "trusted")
        else:
            refused(place)


def test_no_file_of_trusted_keys(place: Path) -> None:
    for path, said in (
        (place / "nothing", "No such file or directory; expected a file of trusted keys"),
        (place, "Is a directory"),
        (Path("/dev/zero"), "has more than 1048576 bytes"),
    ):
        with pytest.raises(rt.ConfigError) as caught:
            rt.load(place / "a.edge", trusted=path)
        assert said in str(caught.value)


def test_the_bytes_that_are_verified_are_the_bytes_that_are_loaded(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is replaced as soon as its signature is read: what was read before counts."""
    before = rt.load(place / "a.edge").bundle.weights["lstm0.W_x"]
    read = check.signature_in

    def swapped(file: Path) -> bytes:
        found = read(file)
        make_bundle(place / "b.edge", seed=1)
        (place / "b.edge").replace(place / "a.edge")
        return found

    monkeypatch.setattr(check, "signature_in", swapped)
    model = rt.load(place / "a.edge", trusted=place / "trusted")
    assert np.array_equal(model.bundle.weights["lstm0.W_x"], before)
    assert not np.array_equal(rt.load(place / "a.edge").bundle.weights["lstm0.W_x"], before)


@pytest.mark.parametrize(
    "words", ["info", "check --backend numpy", "bench --backend numpy --steps 20", "run --input -"]
)
def test_each_command_takes_trusted(
    place: Path, words: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    verb, *options = words.split()
    command = [verb, "a.edge", "--trusted", "trusted", *options]
    if verb != "run":
        assert here(capfd, *command)[0] == 0
    make_bundle(place / "a.edge", seed=1)
    code, out, err = here(capfd, *command)
    assert (code, out) == (2, "")
    assert err.startswith("edge-lstm: error: a.edge is not what me@here (SHA256:")
    assert len(err.splitlines()) == 1
