"""An allowed_signers file of OpenSSH: whose keys are trusted, for what, and from when to when.

    alice@example.com namespaces="edge-lstm-bundle" ssh-ed25519 AAAA... comment
    build valid-after="20260101",valid-before="20270101Z" ssh-ed25519 AAAA...

ssh-keygen(1), "ALLOWED SIGNERS", describes it. Lines of other types of keys are read over: their
signatures are refused. A line that can't be read refuses the file, where ssh-keygen goes on.
"""

from __future__ import annotations

import base64
import calendar
import dataclasses
import re
import time
from collections.abc import Iterator

from ..errors import ConfigError
from ..near import did_you_mean
from .sshsig import KEY_TYPE, NAMESPACE, fingerprint, key_of

_OTHER_TYPES = ("ssh-", "ecdsa-", "sk-", "webauthn-")  # how the other types of OpenSSH begin
_OPTIONS = ("namespaces", "valid-after", "valid-before")
_WORD = re.compile(r'\s*((?:[^\s"]|"(?:[^"\\]|\\.)*")+)')  # a quoted part may have blanks
_OPTION = re.compile(r'([A-Za-z-]+)(?:="((?:[^"\\]|\\.)*)")?(,|$)')
_TIME = re.compile(r"\d{8}(\d{4}(\d{2})?)?Z?")
_FORMATS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


@dataclasses.dataclass(frozen=True)
class Signer:
    """A line of the file.

    principals: the names that the line gives the key's owner. namespaces: patterns, "" for any.
    after, before: the first and the last second since 1970 at which the key is valid, None without.
    """

    line: int
    principals: str
    key: bytes
    namespaces: str = ""
    after: int | None = None
    before: int | None = None

    def __str__(self) -> str:
        return f"{self.principals} ({fingerprint(self.key)})"

    @property
    def limited(self) -> bool:
        """Whether the clock decides."""
        return self.after is not None or self.before is not None

    def refusal(self, now: float) -> str:
        """Why the key does not count now, "" if it does."""
        if self.namespaces and not _matches(NAMESPACE, self.namespaces):
            return f'its namespaces are "{self.namespaces}", without {NAMESPACE}'
        if self.after is not None and now < self.after:
            return f"it is valid from {stamp(self.after)} on, and it is {stamp(now)} here"
        if self.before is not None and now > self.before:
            return f"it has expired on {stamp(self.before)}, and it is {stamp(now)} here"
        return ""


def stamp(seconds: float) -> str:
    """Seconds since 1970 as a date and time, UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))


def read_signers(text: str, name: str) -> list[Signer]:
    """The keys of type ssh-ed25519 in a file's text. name: of the file, for messages.

    Raises ConfigError for a line that can't be read, and if there is no such key.
    """
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        try:
            found += list(_signer(number, words))
        except ValueError as e:
            raise ConfigError(f"{name}, line {number}: {e}") from e
    if not found:
        raise ConfigError(
            f"{name} has no key of type {KEY_TYPE}, so nobody is trusted; expected lines as "
            f"`NAME {KEY_TYPE} AAAA...`, the name and the content of a .pub file"
        )
    return found


def _signer(number: int, line: str) -> Iterator[Signer]:
    """The line's signer, none for another type of key. Raises ValueError."""
    principals, rest = _word(line)
    if principals == KEY_TYPE:
        raise ValueError(f"it begins with the key; expected `NAME {KEY_TYPE} KEY`")
    first, after = _word(rest)
    options: dict[str, str] = {}
    if first != KEY_TYPE and not first.startswith(_OTHER_TYPES):
        options = _options(first)
        first, after = _word(after)
    if first != KEY_TYPE:
        if first.startswith(_OTHER_TYPES):
            return
        raise ValueError(f"expected a type of key such as {KEY_TYPE}, found {first!r}")
    blob, _ = _word(after)
    try:
        key = key_of(base64.b64decode(blob, validate=True))
    except (ValueError, TypeError) as e:
        raise ValueError(f"the key is no whole {KEY_TYPE} key; copy it from its .pub file") from e
    start = _seconds(options, "valid-after")
    stop = _seconds(options, "valid-before")
    if start is not None and stop is not None and stop <= start:
        raise ValueError("valid-before is not later than valid-after, so the key never counts")
    names = principals.strip('"')
    yield Signer(number, names, key, options.get("namespaces", ""), start, stop)


def _word(text: str) -> tuple[str, str]:
    """The next word, and what follows. Raises ValueError if there is none."""
    if (match := _WORD.match(text)) is None:
        raise ValueError(f"expected `NAME [OPTIONS] {KEY_TYPE} KEY`")
    return match[1], text[match.end() :]


def _options(text: str) -> dict[str, str]:
    """Raises ValueError."""
    found: dict[str, str] = {}
    place = 0
    while place < len(text):
        match = _OPTION.match(text, place)
        name = match[1].lower() if match else text[place:].partition("=")[0]
        if name == "cert-authority":
            raise ValueError(
                "cert-authority is not supported here; name the keys themselves, a line each"
            )
        if match is None or name not in _OPTIONS or match[2] is None:
            hint = did_you_mean(name, _OPTIONS)
            raise ValueError(
                f'expected a type of key or an option, NAME="VALUE", found {text[place:]!r}; '
                f"{hint}the options are {', '.join(_OPTIONS)}"
            )
        if name in found:
            raise ValueError(f"the option {name} is given twice")
        found[name] = match[2].replace('\\"', '"')
        place = match.end()
        if match[3] == "," and place == len(text):
            raise ValueError("the options end with a comma")
    return found


def _seconds(options: dict[str, str], name: str) -> int | None:
    """YYYYMMDD[HHMM[SS]][Z], local time without Z -> seconds since 1970. Raises ValueError."""
    if (text := options.get(name)) is None:
        return None
    digits = text.rstrip("Z")
    try:
        if not (_TIME.fullmatch(text) and text.isascii()):
            raise ValueError
        parsed = time.strptime(digits, _FORMATS[len(digits)])
        return int(calendar.timegm(parsed) if text.endswith("Z") else time.mktime(parsed))
    except (ValueError, OverflowError) as e:
        expected = "expected YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with Z at its end for UTC"
        raise ValueError(f"{name} is {text!r}; {expected}") from e


def _matches(name: str, patterns: str) -> bool:
    """OpenSSH's list of patterns: commas between, * and ? as in a shell, ! refuses."""
    found = False
    for pattern in patterns.split(","):
        bare = pattern.removeprefix("!")
        parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in bare)
        if re.fullmatch("".join(parts), name):
            if pattern.startswith("!"):
                return False
            found = True
    return found
