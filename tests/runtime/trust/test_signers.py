"""allowed_signers: the same lines are taken here and by ssh-keygen."""

from __future__ import annotations

import calendar
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm_runtime import ConfigError, SignatureError
from edge_lstm_runtime.trust import check
from edge_lstm_runtime.trust.check import check_signature, signature_of
from edge_lstm_runtime.trust.signers import read_signers
from helpers.keys import make_key, needs_openssh, openssh_takes, sign

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
NOW = "20260615120000Z"
# Lines with KEY for the key, and whether it counts at NOW in the zone UTC-2 (2 hours east).
LINES = {
    "me KEY": True,
    "me KEY a comment": True,
    "  \tme\t KEY": True,
    "me,you KEY": True,
    '"me" KEY': True,
    "# me KEY": None,
    'me namespaces="edge-lstm-bundle" KEY': True,
    'me namespaces="git,edge-lstm-*" KEY': True,
    'me namespaces="edge-lstm-bundl?" KEY': True,
    'me namespaces="git" KEY': False,
    'me namespaces="*,!edge-lstm-bundle" KEY': False,
    'me namespaces="[e]dge-lstm-bundle" KEY': False,
    'me NAMESPACES="edge-lstm-bundle" KEY': True,
    'me valid-before="20260615120000Z" KEY': True,  # the last second
    'me valid-before="20260615115959Z" KEY': False,
    'me valid-before="20260615" KEY': False,
    'me valid-before="20260616" KEY': True,
    'me valid-before="20260615140001" KEY': True,  # in local time
    'me valid-before="20260615135959" KEY': False,
    'me valid-before="202606151159Z" KEY': False,
    'me valid-after="20260615120000Z" KEY': True,
    'me valid-after="20260615120001Z" KEY': False,
    'me valid-after="202606151401" KEY': False,
    'me valid-after="20250101",valid-before="20270101",namespaces="*" KEY': True,
}
REFUSED = {
    "me": "expected `NAME [OPTIONS] ssh-ed25519 KEY`",
    "me ssh-ed25519": "expected `NAME [OPTIONS] ssh-ed25519 KEY`",
    "me ssh-ed25519 AAAA": "the key is no whole ssh-ed25519 key",
    "me ssh-ed25519 é": "the key is no whole ssh-ed25519 key",
    "me cert-authority KEY": "cert-authority is not supported here",
    'me namespaces="*",cert-authority KEY': "cert-authority is not supported here",
    'me namespace="git" KEY': "did you mean 'namespaces'?",
    "me namespaces KEY": "the options are namespaces, valid-after, valid-before",
    'me namespaces="*",namespaces="*" KEY': "the option namespaces is given twice",
    'me namespaces="*", KEY': "the options end with a comma",
    'me valid-before="2026" KEY': "valid-before is '2026'; expected YYYYMMDD",
    'me valid-before="20261301" KEY': "valid-before is '20261301'",
    'me valid-before="20260101ZZ" KEY': "valid-before is '20260101ZZ'",
    'me valid-after="20260102",valid-before="20260101" KEY': "so the key never counts",
    "KEY": "it begins with the key; expected `NAME ssh-ed25519 KEY`",
    "me you KEY": "expected a type of key or an option",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file `message`, its signature, and key.pub."""
    folder = tmp_path_factory.mktemp("keys")
    make_key(folder / "key")
    (folder / "message").write_bytes(b"a message")
    sign(folder / "message", folder / "key")
    return folder


@pytest.fixture
def at_now(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    seconds = calendar.timegm(time.strptime(NOW, "%Y%m%d%H%M%SZ"))
    monkeypatch.setattr(check.time, "time", lambda: float(seconds))
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@needs_openssh
@pytest.mark.usefixtures("at_now")
@pytest.mark.parametrize("line", LINES)
def test_a_line_counts_here_as_for_ssh_keygen(place: Path, tmp_path: Path, line: str) -> None:
    signers = tmp_path / "signers"
    pub = " ".join((place / "key.pub").read_text().split()[:2])
    signers.write_text(f"{line.replace('KEY', pub)}\n")
    message = place / "message"
    data = message.read_bytes()
    if LINES[line]:
        assert "me" in check_signature(data, message, signers).principals.split(",")
    elif LINES[line] is None:
        with pytest.raises(ConfigError, match="has no key of type ssh-ed25519, so nobody is tr"):
            check_signature(data, message, signers)
    else:
        with pytest.raises(SignatureError, match=r"does not count by .*signers, line 1: "):
            check_signature(data, message, signers)
    taken = openssh_takes(data, signature_of(message), signers, "me", NOW, TZ="UTC-2")
    assert taken == bool(LINES[line])


@pytest.mark.parametrize("line", REFUSED)
def test_a_line_that_cannot_be_read_refuses_the_file(line: str) -> None:
    text = f"\n# keys\nyou {ED25519}\n{line.replace('KEY', ED25519)}\n"
    with pytest.raises(ConfigError) as caught:
        read_signers(text, "signers")
    assert str(caught.value).startswith("signers, line 4: ")
    assert REFUSED[line] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_types_of_keys_are_read_over() -> None:
    others = "a ssh-rsa AAAA\nb ecdsa-sha2-nistp256 AAAA\nc sk-ssh-ed25519@openssh.com AAAA\n"
    (found,) = read_signers(f'{others}d namespaces="*" ssh-rsa AAAA\r\nme {ED25519}\r\n', "signers")
    assert (found.principals, found.line, found.limited) == ("me", 5, False)
    with pytest.raises(ConfigError, match="has no key of type ssh-ed25519"):
        read_signers(others, "signers")


@given(st.text(max_size=80))
def test_any_line_is_a_signer_or_ends_in_a_line(line: str) -> None:
    found = []
    with contextlib.suppress(ConfigError):
        found = read_signers(f"me {ED25519}\n{line}", "signers")
    assert [signer.principals for signer in found][:1] in (["me"], [])


@needs_openssh
@pytest.mark.usefixtures("at_now")
def test_one_good_line_of_several_is_enough(place: Path, tmp_path: Path) -> None:
    pub = " ".join((place / "key.pub").read_text().split()[:2])
    signers = tmp_path / "signers"
    signers.write_text(
        f'a valid-before="20250101" {pub}\nb namespaces="git" {pub}\nyou {ED25519}\nc {pub}\n'
    )
    message = place / "message"
    found = check_signature(message.read_bytes(), message, signers)
    assert (found.principals, found.line) == ("c", 4)
