"""Measures what the converter does with each operator; writes operators.toml and its table in the
docs.

    python tests/export/npu/measure_operators.py RESULTS.jsonl ["TARGET SCHEME" ...]

It takes a second or two for each of some 200 graphs on each of the targets. What RESULTS.jsonl has
already isn't measured again. Advice that was written by hand in operators.toml is kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[2]
for folder in (TESTS, *(TESTS.parent / name for name in ("deploy", "export", "."))):
    sys.path.insert(0, str(folder))

from edge_lstm_export.npu.rknn import lint_operators  # noqa: E402
from edge_lstm_export.npu.rknn.environment import ENVIRONMENT  # noqa: E402
from edge_lstm_export.npu.worker import making  # noqa: E402
from helpers.operator_graphs import GRAPHS  # noqa: E402
from helpers.operator_results import measured_outcome, said  # noqa: E402
from helpers.operator_rows import document_rows  # noqa: E402

TABLE = Path(lint_operators.__file__).with_name("operators.toml")
PAIRS = (
    "rk3588 fp16", "rk3566 fp16", "rv1106 w8a8", "rk3588 w8a8", "rk3576 fp16", "rk3562 fp16",
    "rv1126b fp16", "rv1103b w8a8", "rk2118 fp16", "rk3566 w8a8", "rk3576 w8a8", "rk3562 w8a8",
    "rv1126b w8a8",
)  # fmt: skip
LIKE = 'like = { rk3568 = "rk3566", rv1103 = "rv1106", rv1106b = "rv1103b" }\n'
TOP = """\
# What rknn-toolkit2 2.5.0 does with each operator of ONNX up to opset 19, by target and number
# format. All of it was measured on a desktop, and none of it on a board: a row is the outcome of
# the graph of the same name in tests/helpers/operator_graphs.py. The manual was not asked.
# tests/export/npu/measure_operators.py writes this file.
#
# A row with more words than the operator's name is a variant: by a mode, by types, by steps, by an
# operand that is constant or computed.
#
# npu       converted without an error line, everything on the NPU
# cpu       it, or a Transpose or Reshape that comes with it, goes to the CPU, without an error line
# error     the same with an error line, and the return code is 0
# refused   the converter stops with an error
# crash     the converter is killed by a signal, or doesn't end
#           Each with where it is so: "*" everywhere else, a number format, a target, or both. The
#           closest one counts.
# says      the converter's own words
# instead   what to use in place of it
# measured  the targets and number formats that were measured
# like      targets that were not, and the one of the same generation that they are taken to be like

"""
DOCUMENT = TESTS.parent / "docs" / "rknn-rules.md"


def measure(results: Path, pairs: list[str]) -> None:
    done = {(r["operator"], r["pair"]) for r in read(results)}
    todo = [(name, pair) for pair in pairs for name in GRAPHS if (name, pair) not in done]
    with tempfile.TemporaryDirectory() as folder, results.open("a") as file:
        lines = []
        for name, pair in todo:
            graph = Path(folder) / f"{list(GRAPHS).index(name)}.onnx"
            if not graph.exists():
                graph.write_bytes(GRAPHS[name]().SerializeToString())
            lines.append(f"{graph} {pair}\n")
        script = Path(__file__).with_name("convert_many.py")
        process = subprocess.Popen(
            [making.interpreter(ENVIRONMENT, print), str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        ask = threading.Thread(
            target=lambda: (process.stdin.writelines(lines), process.stdin.close())
        )
        ask.start()
        answers = (line for line in process.stdout if line.startswith("RESULT "))
        for (name, pair), line in zip(todo, answers, strict=True):
            result = json.loads(line.removeprefix("RESULT "))
            row = {
                "operator": name,
                "pair": pair,
                "outcome": measured_outcome(result),
                "says": said(result),
            }
            file.write(json.dumps(row) + "\n")
            file.flush()


def read(results: Path) -> list[dict[str, Any]]:
    text = results.read_text() if results.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def places(found: dict[str, str]) -> dict[str, list[str]]:
    """{pair: outcome} in as few words as can be."""
    common = Counter(found.values()).most_common(1)[0][0]
    named = {"*": common}
    for position in (1, 0):  # schemes, then targets
        for word in dict.fromkeys(pair.split()[position] for pair in found):
            mine = {pair: o for pair, o in found.items() if pair.split()[position] == word}
            usual = {named.get(pair.split()[1], common) for pair in mine}
            if (
                len(mine) > position
                and len(outcomes := set(mine.values())) == 1
                and usual - outcomes
            ):
                named[word] = outcomes.pop()
    for pair, mine in found.items():
        target, scheme = pair.split()
        if named.get(target, named.get(scheme, common)) != mine:
            named[pair] = mine
    return {o: [w for w, mine in named.items() if mine == o] for o in lint_operators.OUTCOMES}


def rows(results: list[dict[str, Any]], advice: dict[str, str]) -> Iterator[str]:
    for name in sorted({r["operator"] for r in results} & set(GRAPHS), key=str.lower):
        mine = [r for r in results if r["operator"] == name]
        cells = [
            f"{where} = {json.dumps(words)}"
            for where, words in places({r["pair"]: r["outcome"] for r in mine}).items()
            if words
        ]
        words = Counter(r["says"] for r in mine if r["says"]).most_common(1)
        if words:
            cells.append(f"says = {json.dumps(words[0][0], ensure_ascii=False)}")
        if name in advice:
            cells.append(f"instead = {json.dumps(advice[name], ensure_ascii=False)}")
        key = name if name.isalnum() else json.dumps(name)
        yield f"{key} = {{ {', '.join(cells)} }}\n"


def main() -> None:
    if sys.argv[1:] == ["--document"]:
        document()
        return
    results, *pairs = sys.argv[1:]
    measure(Path(results), pairs or list(PAIRS))
    old = lint_operators.operators() if TABLE.exists() else {}
    advice = {name: row["instead"] for name, row in old.items() if "instead" in row}
    found = read(Path(results))
    measured = list(dict.fromkeys(r["pair"] for r in found))
    table = "".join(rows(found, advice))
    TABLE.write_text(
        f"{TOP}measured = {json.dumps(measured)}\n{LIKE}\n[operator]\n{table}", "utf-8"
    )
    subprocess.run([sys.executable, __file__, "--document"], check=True)  # reads the new table


def document() -> None:
    before, rest = DOCUMENT.read_text("utf-8").split("## Operators\n")
    text, after = rest.split("\n## Targets")
    words = text.split("\n| ")[0].rstrip()
    shown = "\n".join(["| what it does | with |", "| --- | --- |", *document_rows()])
    DOCUMENT.write_text(f"{before}## Operators\n{words}\n\n{shown}\n\n## Targets{after}", "utf-8")


if __name__ == "__main__":
    main()
