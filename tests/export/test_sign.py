"""`edge-lstm sign`: OpenSSH takes its signatures, and it writes none that a board would refuse."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import edge_lstm_runtime as rt
from helpers.bundles import make_bundle
from helpers.commands import here
from helpers.keys import make_key, needs_openssh, openssh_takes, sign

pytestmark = needs_openssh


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a.edge, key, and signers, in which commands run."""
    make_bundle(tmp_path / "a.edge")
    (tmp_path / "signers").write_text(f"me {make_key(tmp_path / 'key')}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_openssh_and_the_runtime_take_it(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = here(capfd, "sign", "a.edge", "--key", "key")
    assert (code, err) == (0, "")
    public = " ".join((place / "key.pub").read_text().split()[:2])
    listed = subprocess.run(
        ["ssh-keygen", "-l", "-f", "key.pub"], capture_output=True, text=True, check=True
    )
    assert f"key      {listed.stdout.split()[1]}\n" in out
    assert f"trust    NAME {public}\n" in out
    signature = place / "a.edge.sig"
    ours = signature.read_bytes()
    assert openssh_takes((place / "a.edge").read_bytes(), signature, place / "signers", "me")
    rt.load(place / "a.edge", trusted=place / "signers")
    assert sign(place / "a.edge", place / "key").read_bytes() == ours
    assert sorted(path.name for path in place.iterdir()) == [
        "a.edge", "a.edge.sig", "key", "key.pub", "signers"
    ]  # fmt: skip


@contextlib.contextmanager
def agent(key: Path) -> Iterator[str]:
    """An ssh-agent that has the key -> its socket."""
    socket = str(key.parent / "agent")
    with subprocess.Popen(
        ["ssh-agent", "-D", "-a", socket], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            environ = {**os.environ, "SSH_AUTH_SOCK": socket}
            subprocess.run(["ssh-add", "-q", str(key)], env=environ, check=True)
            yield socket
        finally:
            process.terminate()


@pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="there is no ssh-agent here")
def test_a_key_that_only_an_agent_has(
    place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with agent(place / "key") as socket:
        (place / "key").unlink()
        assert here(capfd, "sign", "a.edge", "--key", "key.pub")[0] == 2
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        assert here(capfd, "sign", "a.edge", "--key", "key.pub")[0] == 0
    rt.load("a.edge", trusted="signers")


def test_the_signature_may_be_elsewhere(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert here(capfd, "sign", "a.edge", "--key", "key", "-o", "b.sig")[0] == 0
    assert not (place / "a.edge.sig").exists()
    shutil.move("b.sig", "a.edge.sig")
    rt.load("a.edge", trusted="signers")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--key", "nothing"],
            "nothing: there is no such key; make one by `ssh-keygen -t ed25519`",
        ),
        (["--key", "signers"], "ssh-keygen did not sign with signers: "),
        (["--key", "rsa"], "a key of type 'ssh-rsa', and ssh-ed25519 alone is supported here"),
        (["--key", "locked"], "ssh-keygen did not sign with locked: "),
        (["--key", "key", "-o", "nowhere/a.sig"], "the folder nowhere is not there"),
        (["--key", "key", "-o", "."], "can't write .: Is a directory"),
    ],
)
def test_a_refusal_is_a_line_and_the_old_signature_stays(
    place: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    said: str,
) -> None:
    (place / "a.edge.sig").write_text("before")
    if "rsa" in options:
        make_key(place / "rsa", "rsa")
    if "locked" in options:  # nobody is here to type it
        monkeypatch.setenv("SSH_ASKPASS", "/bin/false")
        monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
        make_key(place / "locked", passphrase="secret")
    code, out, err = here(capfd, "sign", "a.edge", *options)
    assert (code, out) == (2, "")
    assert err.startswith("edge-lstm: error: ")
    assert said in err
    assert len(err.splitlines()) == 1
    assert (place / "a.edge.sig").read_text() == "before"


def test_what_is_no_whole_bundle_is_not_signed(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (place / "a.edge").write_bytes((place / "a.edge").read_bytes()[:-1])
    code, _, err = here(capfd, "sign", "a.edge", "--key", "key")
    assert code == 2
    assert "a.edge is not a whole bundle" in err or "a.edge is damaged" in err
    assert not (place / "a.edge.sig").exists()


def test_without_the_tool(
    place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(place))
    code, _, err = here(capfd, "sign", "a.edge", "--key", "key")
    assert (code, err) == (
        2,
        "edge-lstm: error: there is no ssh-keygen here, which signs; install OpenSSH's client "
        "(Debian: openssh-client)\n",
    )
