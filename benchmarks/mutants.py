"""What the tests are worth: changes drawn at random in the three packages, and whether a test fails.

    pip install pytest-cov
    python benchmarks/mutants.py --count 120 --seed 1

The fast tests run once, to learn which of them run each line. Each change is then made in a copy of
the tree, one at a time, and the tests that run its line decide. A change is killed if one of them fails,
or hangs. A line that runs only at import is judged by the tests of its room.

Results stand in build/mutants/results.jsonl. A run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "deploy/edge_lstm_runtime": "tests/runtime",
    "edge_lstm": "tests/trainer",
    "export/edge_lstm_export": "tests/export",
}
MOST_TESTS = 400  # of those that run a line
COMPARISONS = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}
OPERATORS = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "/",
    ast.Mod: "*",
    ast.Pow: "*",
}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A piece of a file, from one offset to another (UTF-8), and what stands there instead."""

    path: str
    line: int
    start: int
    stop: int
    new: str
    kind: str


def mutants_of(path: str) -> Iterator[Mutant]:
    """Every change of one file."""
    source = (ROOT / path).read_bytes()
    starts = [0]
    for row in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(row))

    def at(line: int, column: int) -> int:
        return starts[line - 1] + column

    def mutant(node: ast.expr | ast.stmt, new: str, kind: str) -> Mutant:
        start = at(node.lineno, node.col_offset)
        stop = at(node.end_lineno or 0, node.end_col_offset or 0)
        return Mutant(path, node.lineno, start, stop, new, kind)

    def text(node: ast.expr) -> str:
        return ast.get_source_segment(source.decode(), node) or ""

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            operator = COMPARISONS[type(node.ops[0])]
            new = f"{text(node.left)} {operator} {text(node.comparators[0])}"
            yield mutant(node, f"({new})", "comparison")
        elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            if not any(
                isinstance(n, ast.Constant | ast.JoinedStr) and _is_text(n) for n in ast.walk(node)
            ):
                operator = OPERATORS[type(node.op)]
                yield mutant(node, f"({text(node.left)} {operator} {text(node.right)})", "operator")
        elif isinstance(node, ast.BoolOp):
            word = " or " if isinstance(node.op, ast.And) else " and "
            yield mutant(node, f"({word.join(map(text, node.values))})", "boolean")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield mutant(node, f"bool({text(node.operand)})", "boolean")
        elif isinstance(node, ast.If | ast.IfExp | ast.While):
            yield mutant(node.test, f"(not ({text(node.test)}))", "condition")
        elif isinstance(node, ast.Constant) and type(node.value) in (bool, int, float):
            new = str(not node.value) if isinstance(node.value, bool) else f"({text(node)} + 1)"
            yield mutant(node, new, "constant")
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield mutant(node, "pass", "statement")


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or isinstance(getattr(node, "value", None), str)


def drawn(count: int, seed: int) -> list[Mutant]:
    """Each package has its share by the number of its changes; each file's lines are as likely."""
    found = []
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            found += list(mutants_of(str(file.relative_to(ROOT))))
    return random.Random(seed).sample(found, count)


def learn(copy: Path, data: Path) -> None:
    """Run the fast tests once, with the tests that run each line in `data`."""
    packages = [f"--cov={package}" for package in PACKAGES]
    options = ["--cov-context=test", "--cov-report=", "-n", "2", "--dist", "loadfile"]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not slow", *packages, *options, "tests"],
        cwd=copy,
        env=environment(copy) | {"COVERAGE_FILE": str(data)},
        check=False,
    )


def tests_of(data: Path, copy: Path, mutant: Mutant) -> list[str]:
    """The tests that run a mutant's line; those of its room if none does."""
    with sqlite3.connect(data) as connection:
        rows = connection.execute(
            "select context.context, line_bits.numbits from line_bits "
            "join file on file.id = line_bits.file_id "
            "join context on context.id = line_bits.context_id where file.path = ?",
            (str(copy / mutant.path),),
        ).fetchall()
    byte, bit = divmod(mutant.line, 8)
    names = {
        context.split("|")[0]
        for context, bits in rows
        if context and byte < len(bits) and bits[byte] >> bit & 1
    }
    if names:
        chosen = sorted(names)
        return random.Random(0).sample(chosen, min(len(chosen), MOST_TESTS))
    package = next(p for p in PACKAGES if mutant.path.startswith(p + "/"))
    room = Path(PACKAGES[package], *Path(mutant.path).relative_to(package).parts[:-1])
    return [str(room if (copy / room).exists() else PACKAGES[package])]


def environment(copy: Path) -> dict[str, str]:
    paths = [str(copy), str(copy / "export"), str(copy / "deploy")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def judged(copy: Path, data: Path, mutant: Mutant) -> str:
    """killed, hung or survived."""
    file = copy / mutant.path
    source = file.read_bytes()
    changed = source[: mutant.start] + mutant.new.encode() + source[mutant.stop :]
    names = tests_of(data, copy, mutant)
    chosen = copy / "chosen.txt"
    chosen.write_text("\n".join(names))
    file.write_bytes(changed)
    options = ["-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:randomly"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, f"@{chosen}"],
            cwd=copy,
            env=environment(copy),
            capture_output=True,
            timeout=400,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "hung"
    finally:
        file.write_bytes(source)
    return "survived" if done.returncode in (0, 5) else "killed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mutants")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    copy, data, results = out / "tree", out / "coverage", out / "results.jsonl"
    if not copy.exists():
        ignored = shutil.ignore_patterns(".venv", "build", "dist", ".git", "*.egg-info", ".*_cache")
        shutil.copytree(ROOT, copy, ignore=ignored)
    if not data.exists():
        learn(copy, data)
    known = {}
    if results.exists():
        rows = map(json.loads, results.read_text().splitlines())
        known = {Mutant(**row["mutant"]): row["result"] for row in rows}
    mutants = drawn(arguments.count, arguments.seed)
    for n, mutant in enumerate(mutants, start=1):
        if mutant not in known:
            known[mutant] = judged(copy, data, mutant)
            with results.open("a") as file:
                row = {"mutant": dataclasses.asdict(mutant), "result": known[mutant]}
                file.write(json.dumps(row) + "\n")
        place = f"{mutant.path}:{mutant.line}"
        print(
            f"{n}/{len(mutants)}  {known[mutant]:<8}  {place}  {mutant.kind}: {mutant.new}",
            flush=True,
        )
    counts = Counter(known[mutant] for mutant in mutants)
    killed = counts["killed"] + counts["hung"]
    print(f"{killed} of {len(mutants)} killed, {100 * killed / len(mutants):.1f} %")


if __name__ == "__main__":
    main()
