"""The shape of a file: headers, other lines, ends of lines, encodings. Kind B and missing keys."""

from __future__ import annotations

import codecs
from typing import Any

from .table import NO_LINES, TEXTS, Case, Outcome

ROWS = ((1.5, 2), (3, -4), (5, 6))
PLAIN = "a,b\n1.5,2\n3,-4\n5,6\n"
BODY = "1.5,2\n3,-4\n5,6\n"
LEGACY = {**NO_LINES, "json": "JSON is UTF-8"}
NO_SPACE = {**NO_LINES, "space": "any number of spaces are one separator"}


def _same(name: str, text: str, **options: Any) -> Case:
    """A file that is read to ROWS."""
    options.setdefault("not_in", NO_LINES)
    return Case(name, "B", text, ROWS, **options)


HEADERS = [
    _same("plain", PLAIN),
    _same("spaces after the separators", "a, b\n1.5, 2\n3, -4\n5, 6\n"),
    _same("spaces around all cells", " a , b \n 1.5 , 2 \n 3 , -4 \n 5 , 6 \n"),
    _same("aligned columns", "    a,    b\n  1.5,    2\n    3,   -4\n    5,    6\n"),
    _same("quoted header", '"a","b"\n' + BODY),
    _same("all quoted", '"a","b"\n"1.5","2"\n"3","-4"\n"5","6"\n'),
    _same("quotes and spaces after separators", 'a, "b"\n1.5, "2"\n3, "-4"\n5, "6"\n'),
    _same("another order", "b,a\n2,1.5\n-4,3\n6,5\n"),
    _same("further columns of text", "note,a,b,unit\nx,1.5,2,V\n?,3,-4,mV\nö,5,6,V\n"),
    _same("quoted text with separators", 'note,a,b\n"1,2",1.5,2\n",",3,-4\n"x,,",5,6\n'),
    _same("quoted text with quotes", 'note,a,b\n"a ""b""",1.5,2\n"""",3,-4\nx,5,6\n'),
    _same("further columns twice", "x,a,x,b\n1,1.5,7,2\n1,3,7,-4\n1,5,7,6\n"),
    _same("an empty name in the header", ",a,b\n0,1.5,2\n1,3,-4\n2,5,6\n", not_in=NO_SPACE),
    _same("no header, the channels alone", BODY, keys={"columns": ["a", "b"]}),
    _same("no header, more columns", "7,2,x,1.5\n7,-4,x,3\n7,6,x,5\n",
          keys={"columns": ["t", "b", "note", "a"]}),
    _same("names like words for a gap", "nan,null\n" + BODY, channels=("nan", "null")),
    _same("names like numbers", "0,1\n" + BODY, channels=("0", "1")),
    _same("names with signs", "temp_[°C],p/q\n" + BODY, channels=("temp_[°C]", "p/q")),
    _same("a name that begins like JSON", "{a,[b\n" + BODY, channels=("{a", "[b")),
    _same("names in two cases of letters", "A,a,b\n9,1.5,2\n9,3,-4\n9,5,6\n"),
]  # fmt: skip

WIDE = ",".join(["a", "b", *(f"c{k}" for k in range(9998))])
LONG = "x" * 1_000_000
SIZES = [
    _same("10,000 columns", "".join(
        [WIDE + "\n", *(f"{cell},{'0,' * 9997}0\n" for cell in ("1.5,2", "3,-4", "5,6"))])),
    _same("a line of 1,000,000 characters", f"a,b,note\n1.5,2,{LONG}\n3,-4,x\n5,6,x\n"),
    Case("one column", "B", "a\n1.5\n3\n5\n", [[1.5], [3], [5]], channels=("a",),
         not_in={"parquet": "has no lines"}),
    Case("one column with separators at the end", "B", "a,\n1.5,\n3,\n5,\n", [[1.5], [3], [5]],
         channels=("a",), not_in=NO_SPACE),
    Case("one column, a blank line is a gap", "B", "a\n1.5\n\n5\n", [[1.5], [None], [5]],
         channels=("a",), keys={"missing": "mask"}, not_in=NO_LINES),
    Case("one column of gaps between numbers", "B", 'a\n1.5\n""\n?\n5\n',
         [[1.5], [None], [None], [5]], channels=("a",), keys={"missing": "mask"}, not_in=NO_LINES),
    Case("one row", "B", "a,b\n1.5,2\n", [[1.5, 2]], like=PLAIN),
    Case("no rows", "B", "a,b\n", "the file is empty (no rows)", [],
         not_in={"json": "a header is no JSON"}),
    Case("no rows and no end of line", "B", "a,b", "the file is empty (no rows)", [],
         not_in=NO_LINES),
    Case("nothing", "B", "", "the file is empty", [], not_in=NO_LINES),
    Case("blank lines alone", "B", "\n  \n\n", "the file is empty", [], not_in=NO_LINES),
]  # fmt: skip

LINES = [
    _same("CRLF", PLAIN.replace("\n", "\r\n")),
    _same("lone CR", PLAIN.replace("\n", "\r")),
    _same("ends of all kinds", "a,b\r\n1.5,2\n3,-4\r5,6"),
    _same("no end of the last line", PLAIN.removesuffix("\n")),
    _same("blank lines before the header", "\n\n  \n" + PLAIN),
    _same("blank lines in the middle", "a,b\n\n1.5,2\n   \n3,-4\n\t\n5,6\n"),
    _same("blank lines at the end", PLAIN + "\n\n   \n"),
    _same("CR CR LF, as text mode makes of CRLF", PLAIN.replace("\n", "\r\r\n")),
    _same("separators at the end of each line", "a,b,\n1.5,2,\n3,-4,\n5,6,\n", not_in=NO_SPACE),
    _same("many separators at the end", "a,b,,,\n1.5,2,,,\n3,-4,,,\n5,6,,,\n", not_in=NO_SPACE),
    _same("separators at the end of the header", "a,b,,\n" + BODY, not_in=NO_SPACE),
    _same("separators at the end of a row", "a,b\n1.5,2\n3,-4,,,\n5,6\n", not_in=NO_SPACE),
    _same("comments", "# x,y\na,b\n1.5,2\n#3,4\n  # 5\n3,-4\n5,6\n# end", keys={"comment": "#"}),
    _same("comments of two signs", "// x\na,b\n1.5,2\n// 3\n3,-4\n5,6\n", keys={"comment": "//"}),
    _same("a comment's sign inside a cell", "a,b,n\n1.5,2,#\n3,-4,x#\n5,6,#1\n",
          keys={"comment": "#"}),
    _same("a header that is a comment", "# a,b\n" + BODY,
          keys={"comment": "#", "columns": ["a", "b"]}),
    _same("lines before the header", "Station 7\nSerial,123,x\n\n" + PLAIN,
          keys={"skip_rows": 3}),
    _same("Excel's line sep=", "sep=,\n" + PLAIN, keys={"skip_rows": 1}),
    _same("a row of units", "a,b\nV,mV\n" + BODY, keys={"columns": ["a", "b"], "skip_rows": 2}),
    _same("blank lines are rows to skip", "\n\nx\n" + PLAIN, keys={"skip_rows": 3}),
]  # fmt: skip


def _refused(name: str, text: str, trains: str, runs: Outcome | None, **options: Any) -> Case:
    options.setdefault("not_in", NO_LINES)
    return Case(name, "B", text, trains, runs, **options)


WRONG = [
    _refused("Excel's line sep= is not skipped", "sep=,\n" + PLAIN,
             "line 2 has them: set skip_rows = 1 in [data]",
             ["nor is it a header", *ROWS], but={
                 "space": ("line 2 has them: set skip_rows = 1", ["nor is it a header", *ROWS])}),
    _refused("lines before the header are not skipped", "Station 7\nSerial,1,x,y\n" + PLAIN,
             "line 3 has them: set skip_rows = 2 in [data]",
             ["nor is it a header", "4 values, expected 2", *ROWS]),
    _refused("a row of units is not skipped", "a,b\nV,mV\n" + BODY,
             "column 'a', row 1: 'V' is no number", ["channel 'a' is 'V'", *ROWS]),
    _refused("a comment that is not declared", "a,b\n1.5,2\n# 3,4\n3,-4\n5,6\n",
             "row 2: '# 3' is no number", [ROWS[0], "channel 'a' is '# 3'", *ROWS[1:]],
             but={"space": ("line 3 has 3 cells, and the header (line 1) 2",
                            [ROWS[0], "3 values, expected 2", *ROWS[1:]])}),
    _refused("a header that looks like a comment", "#a,b\n" + BODY,
             "there is no column 'a' (channels in [data]); did you mean '#a'?",
             "the input's header lacks the channels ['a']"),
    _refused("no header", BODY, "there is no column 'a'", ROWS),
    _refused("a channel is not there", "a,c\n" + BODY, "there is no column 'b'",
             "the input's header lacks the channels ['b']"),
    _refused("a channel in another case of letters", "a,B\n" + BODY,
             "there is no column 'b'", "the input's header lacks the channels ['b']"),
    _refused("a channel twice", "a,b,a\n1.5,2,7\n3,-4,7\n5,6,7\n",
             "2 columns have the name 'a' (channels in [data])",
             "the input's header has 'a' 2 times; expected each channel once"),
    _refused("a row too long", "a,b\n1.5,2\n3,-4,7\n5,6\n",
             "line 3 has 3 cells, and the header (line 1) 2",
             [ROWS[0], "3 values, expected 2", ROWS[2]]),
    _refused("a row too short", "a,b\n1.5,2\n3\n5,6\n",
             "line 3 has 1 cells, and the header (line 1) 2",
             [ROWS[0], "1 value, expected 2", ROWS[2]]),
    _refused("the board starts again", "a,b\n1.5,2\na,b\n3,-4\n5,6\n",
             "column 'a', row 2: 'a' is no number", ROWS),
    _refused("an end of line in a quoted cell", 'a,b,n\n1.5,2,"x\ny"\n3,-4,z\n5,6,z\n',
             "line 2: a quoted cell is not closed in its line",
             ["a quoted cell is not closed", "1 value, expected 3", *ROWS[1:]]),
    _refused("a quote that is not closed", 'a,b,n\n1.5,2,x\n3,-4,"y\n5,6,z\n',
             "line 3: a quoted cell is not closed in its line",
             [ROWS[0], "a quoted cell is not closed", ROWS[2]]),
    _refused("a quote that is not closed in the header", 'a,"b\n' + BODY,
             "line 1: a quoted cell is not closed", ["a quoted cell is not closed", *ROWS]),
    _refused("half a row at the start of the first file's end", "a,b\n1.5\n",
             "line 2 has 1 cells, and the header (line 1) 2", ["1 value, expected 2"]),
    _refused("NUL bytes between rows", "a,b\n1.5,2\n\0\0\0\n3,-4\n5,6\n",
             "line 3 has 1 cells", [ROWS[0], "1 value, expected 2", *ROWS[1:]]),
    _refused("garbled bytes in the middle", "a,b\n1.5,2\nxÿ\n3,-4\n5,6\n",
             "line 3 has the byte 0xFF",
             [ROWS[0], "1 value, expected 2", *ROWS[1:]],
             encode=lambda text: text.encode("latin-1"), not_in=LEGACY),
    Case("Ctrl-Z at the end, as of DOS", "B", PLAIN + "\x1a", ROWS,
         [*ROWS, "1 value, expected 2"], note="line 5 has 1 cells", not_in=NO_LINES),
    Case("the last row is cut short", "B", "a,b\n1.5,2\n3,-4\n5,6\n7", ROWS,
         [*ROWS, "1 value, expected 2"], note="line 5 has 1 cells", not_in=NO_LINES),
    Case("the last row is cut in a quoted cell", "B", 'a,b,n\n1.5,2,x\n3,-4,y\n5,6,z\n7,8,"ab',
         ROWS, [*ROWS, "a quoted cell is not closed"], note="line 5: a quoted cell is not closed",
         not_in=NO_LINES),
]  # fmt: skip

WRONG_SEPARATORS = [
    Case(
        f"{form} read as another separator", "B", PLAIN,
        f"they are there with separator = {TEXTS[form][0]!r}: set it in [data]",
        [f"between {name} it has 2: separate them by", *[f"between {name}"] * 3],
        keys={"separator": "," if form != "comma" else ";", "decimal": "."},
        like=PLAIN,
        not_in={**NO_LINES, **{other: "see its own case" for other in TEXTS if other != form}},
    )
    for form, name in zip(TEXTS, ("commas", "semicolons", "tabs", "spaces", "bars"), strict=True)
]  # fmt: skip

DEGREES = "temp_°C,b\n1.5,2\n3,-4\n5,6\n"


def _encoded(name: str, encoding: str, *, bom: bytes = b"", key: bool = True) -> Case:
    keys = {"encoding": encoding} if key else {}
    return Case(
        name, "B", DEGREES, ROWS, channels=("temp_°C", "b"), keys=keys, not_in=LEGACY,
        encode=lambda text: bom + text.encode(encoding),
    )  # fmt: skip


ENCODINGS = [
    _encoded("UTF-8", "utf-8", key=False),
    _encoded("UTF-8 with its mark", "utf-8", bom=codecs.BOM_UTF8, key=False),
    _encoded("UTF-8 with its mark and key", "utf-8", bom=codecs.BOM_UTF8),
    _encoded("the mark against the key", "utf-16-le", bom=codecs.BOM_UTF16_LE, key=False),
    _encoded("UTF-16 of Excel", "utf-16-le", bom=codecs.BOM_UTF16_LE),
    _encoded("UTF-16, high byte first", "utf-16-be", bom=codecs.BOM_UTF16_BE, key=False),
    _encoded("UTF-16 without a mark", "utf-16-le"),
    _encoded("UTF-32", "utf-32-le", bom=codecs.BOM_UTF32_LE, key=False),
    _encoded("Latin-1", "latin-1"),
    _encoded("cp1252", "cp1252"),
    _encoded("DOS", "cp850"),
    _same("a mark before a quoted header", '\ufeff"a","b"\n' + BODY),
    Case("Latin-1 without the key", "B", DEGREES, "line 1 has the byte 0xB0, not utf-8; set "
         "`encoding` in [data], such as 'latin-1' or 'cp1252'",
         "the input's header lacks the channels ['temp_°C']", channels=("temp_°C", "b"),
         like=DEGREES, encode=lambda text: text.encode("latin-1"), not_in=LEGACY),
    Case("UTF-16 without a mark and key", "B", PLAIN,
         "line 1 has NUL characters; set encoding = 'utf-16-le' in [data]",
         ["expected"] * 5,
         encode=lambda text: text.encode("utf-16-le"), not_in=LEGACY),
]  # fmt: skip

CASES = [*HEADERS, *SIZES, *LINES, *WRONG, *WRONG_SEPARATORS, *ENCODINGS]
