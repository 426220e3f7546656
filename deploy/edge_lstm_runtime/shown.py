"""Text for people's eyes: nothing in it tells a terminal what to do.

Names, notes and paths come from files that others made. An escape sequence in them could clear the
screen, set its title or hide a line, and a control of direction could turn a line's order around.
"""

from __future__ import annotations

import re

# Controls (C0, C1, DEL), invisible and directional formats, separators of lines, halves of
# surrogate pairs. The two joiners, U+200C and U+200D, are part of words and of emoji.
_FORMATS = (
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0001\U000e0020-\U000e007f"
)
_PLAIN = b"\t\n" + bytes(range(32, 127))
_IN_A_TEXT = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_FORMATS}\ud800-\udfff]")
_IN_A_LINE = re.compile(f"[\x00-\x1f\x7f-\x9f{_FORMATS}\ud800-\udfff]")


def shown(text: str) -> str:
    """The text with its ends of lines and tabs. All other controls become escapes, as \\x1b."""
    if text.isascii() and not text.encode().translate(None, _PLAIN):  # a tenth of the search's time
        return text
    return _IN_A_TEXT.sub(_escape, text)


def in_a_line(text: str) -> str:
    """As `shown`, for a name or a note inside a line: ends of lines and tabs are escaped too."""
    return text if text.isprintable() else _IN_A_LINE.sub(_escape, text)


def is_plain(name: str) -> bool:
    """Whether a name has none of them."""
    return in_a_line(name) == name


def _escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number < 0x100:
        return {9: "\\t", 10: "\\n", 13: "\\r"}.get(number, f"\\x{number:02x}")
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def counted(number: int, noun: str) -> str:
    """ "1 line", "2 lines": a noun whose plural ends in s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
