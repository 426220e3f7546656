"""Lines that reach the board alone: what a serial port or a program in front of it sends. Kind A.

Training reads no stream. The specification is that of a file of the same form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .table import NO_CELLS, NO_LINES, TEXTS, Case, Line, Outcome

NO_SPACE = {**NO_LINES, "space": "any number of spaces are one separator"}
ROWS: list[Line] = [[1, 2], [3, 4]]
BODY = "1,2\n3,4\n"


def _first(name: str, line: str, words: str, **options: Any) -> Case:
    """A line that can't be used, before the header, without one, and after a sample."""
    options.setdefault("not_in", NO_LINES)
    text = f"{line}\na,b\n1,2\n{line}\n3,4\n"
    return Case(name, "A", text, runs=[words, ROWS[0], words, ROWS[1]], **options)


def _stream(name: str, text: str, runs: Outcome, **options: Any) -> Case:
    options.setdefault("not_in", NO_LINES)
    return Case(name, "A", text, runs=runs, **options)


GARBAGE = [
    _first("half a line", "E-3,4", "channel 'a' is 'E-3'"),
    _first("the end of a line", "4", "1 value, expected 2"),
    _first("half a number", "1,2e", "channel 'b' is"),
    _first("a boot message", "MPU6050_ready", "1 value, expected 2"),
    _first("a boot message of two words", "MPU6050,ready", "channel 'a' is 'MPU6050'"),
    _first("a boot message of many words", "rst:0x1,boot:0x13,(SPI)", "3 values, expected 2"),
    _first("a comment", "#,calibrating", "channel 'a' is '#'"),
    _first("broken bytes", "\ufffd\ufffd,\ufffd", "channel 'a' is"),
    _first("NUL bytes", "\0\0\0", "1 value, expected 2"),
    _first("colours of a terminal", "\x1b[32mI_(312)\x1b[0m", "1 value, expected 2"),
    _first("names and values", "a:1,b:2", "channel 'a' is 'a:1'"),
    _first("a line of dashes", "----------", "1 value, expected 2"),
    _first("two lines in one", "1,23,4", "3 values, expected 2"),
    _first("an open quote", '"1,2', "a quoted cell is not closed"),
    _first("half of JSON", '{"a"', "not valid JSON"),
    _first("JSON that is cut off", '[1', "not valid JSON"),
    _first("a prompt", ">", "1 value, expected 2"),
    _first("AT commands", "OK", "1 value, expected 2"),
    _first("an overflow", "ovf,1", "channel 'a' is 'ovf'"),
    _first("an infinite value", "inf,1", "inf"),
    _first("a missing value that the model refuses", "nan,1", "missing"),
    _first("ten thousand cells", ",".join("1" * 10_000), "10000 values, expected 2"),
]  # fmt: skip
HEADERS = [
    _stream("no header", BODY, ROWS),
    _stream("a header", "a,b\n" + BODY, ROWS),
    _stream("a header of another order", "b,a\n2,1\n4,3\n", ROWS),
    _stream("a header with more columns", "t,b,x,a\n0,2,y,1\n1,4,y,3\n", ROWS),
    _stream("a header after garbage", "boot\nboot 2\nb,a\n2,1\n4,3\n",
            ["1 value", "value", *ROWS], but={
                "space": (None, ["1 value", "channel 'a' is 'boot'", *ROWS]),
            }),
    _stream("a header that lacks a channel", "a,c\n" + BODY,
            "the input's header lacks the channels ['b']"),
    _stream("a header twice at the start", "a,b\na,b\n" + BODY, ROWS),
    _stream("a header that has a channel twice", "a,b,a\n1,2,7\n",
            "the input's header has 'a' 2 times; expected each channel once"),
    _stream("the board starts again", "a,b\n1,2\n\0\0ets Jul 29\na,b\n3,4\n",
            [ROWS[0], ", expected 2", ROWS[1]]),
    _stream("a board of another order takes its place", "a,b\n1,2\nb,t,a\n4,0,3\n",
            [ROWS[0], "a header with other columns than before; from here on", ROWS[1]]),
    _stream("the header comes after samples, in another order", "1,2\nb,a\n4,3\n",
            [ROWS[0], "a header with other columns than before; from here on", ROWS[1]]),
    _stream("the header comes after samples, in the same order", "1,2\na,b\n3,4\n", ROWS),
    _stream("a late header that lacks a channel", "a,b\n1,2\na,c\n3,4\n",
            [ROWS[0], "channel 'a' is 'a'", ROWS[1]]),
    _stream("a comment's sign", "# v1.2\na,b\n1,2\n#3,4\n3,4\n", ROWS, keys={"comment": "#"}),
    _stream("blank lines", "\n\r\n  \na,b\n\n1,2\n\n\n3,4\n\n", ROWS),
    _stream("separators at the end", "1,2,\n3,4,,\n", ROWS, not_in=NO_SPACE),
    _stream("nothing", "", []),
]  # fmt: skip
OTHER_SEPARATORS = [
    _stream(f"lines of {form} for a model of another form",
            "1,2\n3,4\n", [f"between {name} it has 2: separate them by"] * 2,
            keys={"separator": "," if form != "comma" else ";", "decimal": "."},
            not_in={**NO_LINES, **dict.fromkeys(set(TEXTS) - {form}, "see its own case")})
    for form, name in zip(TEXTS, ("commas", "semicolons", "tabs", "spaces", "bars"), strict=True)
]  # fmt: skip


def _json(name: str, text: str, runs: Outcome, keys: Mapping[str, Any] | None = None) -> Case:
    return Case(name, "A", text, runs=runs, keys=keys or {}, not_in=NO_CELLS)


def _bad_json(name: str, line: str, words: str) -> Case:
    return _json(name, f"{line}\n[1, 2]\n{line}\n[3, 4]\n", [words, ROWS[0], words, ROWS[1]])


AS_NUMBERS = "expected a number"
JSON = [
    _json("lists", "[1, 2]\n[3, 4]\n", ROWS),
    _json("objects", '{"a": 1, "b": 2}\n{"b": 4, "a": 3, "t": "x"}\n', ROWS),
    _json("lists and objects", '{"a": 1, "b": 2}\n[3, 4]\n', ROWS),
    _json("JSON and text", "[1, 2]\n3,4\n", ROWS),
    _json("a mark and spaces", '\ufeff  [1,2]  \r\n\t{"a":3,"b":4}\n\n', ROWS),
    _json("a key twice: the last counts", '{"a": 7, "a": 1, "b": 2}\n[3, 4]\n', ROWS),
    _json("powers", "[1e0, 0.2e1]\n[30E-1, 4.0]\n", ROWS),
    _json("gaps", '[null, 2]\n{"a": NaN, "b": 4}\n', [[None, 2], [None, 4]], {"missing": "mask"}),
    _json("a number that stands for a gap", '[-200, 2]\n{"a": -2e2, "b": 4}\n',
          [[None, 2], [None, 4]], {"missing": "mask", "missing_values": [-200]}),
    _bad_json("a list too short", "[1]", "1 value, expected 2 (a, b)"),
    _bad_json("a list too long", "[1, 2, 3]", "3 values, expected 2 (a, b)"),
    _bad_json("an empty list", "[]", "0 values, expected 2"),
    _bad_json("an empty object", "{}", "channels ['a', 'b'] are missing"),
    _bad_json("a channel is not there", '{"a": 1, "B": 2}', "channels ['b'] are missing"),
    _bad_json("numbers as text", '["1", 2]', AS_NUMBERS),
    _bad_json("a truth", "[true, 2]", AS_NUMBERS),
    _bad_json("a list in a list", "[[1, 2]]", "1 value, expected 2"),
    _bad_json("a list in place of a number", "[[1], 2]", AS_NUMBERS),
    _bad_json("infinity", "[Infinity, 2]", "inf"),
    _bad_json("a power too large", "[1e400, 2]", "inf"),
    _bad_json("400 digits", f"[{'1' * 400}, 2]", "too large"),
    _bad_json("5,000 digits", f"[{'1' * 5000}, 2]", "JSON"),
    _bad_json("nested 100,000 deep", "[" * 100_000, "not valid JSON"),
    _bad_json("not closed", '{"a": 1', "not valid JSON"),
    _bad_json("a comma at the end", "[1, 2,]", "not valid JSON"),
    _bad_json("quotes of Python", "{'a': 1, 'b': 2}", "not valid JSON"),
    _bad_json("a comment after it", "[1, 2] // x", "not valid JSON"),
    _bad_json("two in a line", "[1, 2][3, 4]", "not valid JSON"),
    _bad_json("a plus", "[+1, 2]", "not valid JSON"),
    _bad_json("a decimal comma", "[1,5, 2]", "3 values, expected 2"),
    _bad_json("broken bytes in JSON", "[1, \ufffd]", "not valid JSON"),
    _bad_json("NUL", "[1, 2\0]", "not valid JSON"),
    _bad_json("a reset that is no reset", '{"reset": "yes"}', "channels ['a', 'b'] are missing"),
]  # fmt: skip
CASES = [*GARBAGE, *HEADERS, *OTHER_SEPARATORS, *JSON]
