"""What the tests are worth: random changes of the three packages, and whether a test fails.

    pip install pytest-cov
    python benchmarks/mutants.py --count 120 --seed 1

The fast tests run once, to learn which of them run each line. Each change is then made in a copy of
the tree, one at a time, and the tests that run its line decide. A change is killed if one of them
fails or hangs. A line that runs only at import is judged by the tests of its room.

Results stand in build/mutants/results.jsonl. A run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
import os
import queue
import random
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "deploy/edge_lstm_runtime": "tests/runtime",
    "edge_lstm": "tests/trainer",
    "export/edge_lstm_export": "tests/export",
}
MOST_TESTS = 400  # of those that run a line
AT_ONCE = 2
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


Change = tuple[ast.expr | ast.stmt, str, str]  # the node, the text in its place, and the kind


def mutants_of(path: str) -> Iterator[Mutant]:
    """Every change of one file."""
    source = (ROOT / path).read_bytes()
    text = source.decode()
    starts = [0]
    for row in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(row))
    for node in ast.walk(ast.parse(source)):
        change = _of_expression(node, text) or _of_flow(node, text)
        if change is not None:
            place, new, kind = change
            start = starts[place.lineno - 1] + place.col_offset
            stop = starts[(place.end_lineno or 0) - 1] + (place.end_col_offset or 0)
            yield Mutant(path, place.lineno, start, stop, new, kind)


def _of_expression(node: ast.AST, source: str) -> Change | None:
    """Another operator or another number."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        operator = COMPARISONS[type(node.ops[0])]
        new = f"(({_text(source, node.left)}) {operator} ({_text(source, node.comparators[0])}))"
        return node, new, "comparison"
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        if any(map(_is_text, ast.walk(node))):
            return None
        operator = OPERATORS[type(node.op)]
        new = f"(({_text(source, node.left)}) {operator} ({_text(source, node.right)}))"
        return node, new, "operator"
    if isinstance(node, ast.Constant) and type(node.value) in (bool, int, float):
        if isinstance(node.value, bool):
            return node, str(not node.value), "constant"
        return node, f"({_text(source, node)} + 1)", "constant"
    return None


def _of_flow(node: ast.AST, source: str) -> Change | None:
    """Another condition, or a call left out."""
    if isinstance(node, ast.BoolOp):
        word = " or " if isinstance(node.op, ast.And) else " and "
        new = word.join(f"({_text(source, value)})" for value in node.values)
        return node, f"({new})", "boolean"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return node, f"bool({_text(source, node.operand)})", "boolean"
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        return node.test, f"(not ({_text(source, node.test)}))", "condition"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return node, "pass", "statement"
    return None


def _text(source: str, node: ast.expr) -> str:
    return ast.get_source_segment(source, node) or ""


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def drawn(count: int, seed: int) -> list[Mutant]:
    """Drawn from the changes of all packages, each as likely as any other."""
    found = []
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            found += list(mutants_of(str(file.relative_to(ROOT))))
    return random.Random(seed).sample(found, count)


def learn(copy: Path, data: Path) -> None:
    """Run the fast tests once, with the tests that run each line in `data`.

    Ends the program if a test fails: it would kill every change.
    """
    packages = [f"--cov={package}" for package in PACKAGES]
    options = ["--cov-context=test", "--cov-report=", "-n", "2", "--dist", "loadfile"]
    partial = data.with_suffix(".partial")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "not slow", *packages, *options, "tests"],
        cwd=copy,
        env=environment(copy) | {"COVERAGE_FILE": str(partial)},
        check=False,
    )
    if done.returncode:
        sys.exit("the tests fail in a copy of the tree, without any change; mend that first")
    partial.rename(data)


def tests_of(data: Path, tree: Path, mutant: Mutant) -> list[str]:
    """The tests that run a mutant's line, or those of its room if none does."""
    with sqlite3.connect(data) as connection:
        rows = connection.execute(
            "select context.context, line_bits.numbits from line_bits "
            "join file on file.id = line_bits.file_id "
            "join context on context.id = line_bits.context_id where file.path = ?",
            (str(tree / mutant.path),),
        ).fetchall()
    byte, bit = divmod(mutant.line, 8)
    names = {
        context.rpartition("|")[0]
        for context, bits in rows
        if context and byte < len(bits) and bits[byte] >> bit & 1
    }
    if names:
        chosen = sorted(names)
        return random.Random(0).sample(chosen, min(len(chosen), MOST_TESTS))
    package = next(p for p in PACKAGES if mutant.path.startswith(p + "/"))
    room = Path(PACKAGES[package], *Path(mutant.path).relative_to(package).parts[:-1])
    return [str(room if (tree / room).exists() else PACKAGES[package])]


def environment(copy: Path) -> dict[str, str]:
    paths = [str(copy), str(copy / "export"), str(copy / "deploy")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def judged(copy: Path, names: list[str], mutant: Mutant) -> str:
    """killed, hung or survived. names: the tests that decide."""
    file = copy / mutant.path
    source = file.read_bytes()
    file.write_bytes(source[: mutant.start] + mutant.new.encode() + source[mutant.stop :])
    try:
        code = run_tests(copy, names)
    except subprocess.TimeoutExpired:
        return "hung"
    finally:
        file.write_bytes(source)
    if code not in (0, 1, 5) and run_tests(copy, names) != 0:  # neither passed nor failed
        raise RuntimeError(f"pytest can't run the tests of {mutant.path}:{mutant.line}")
    return "survived" if code in (0, 5) else "killed"


def run_tests(copy: Path, names: list[str]) -> int:
    """pytest's exit code."""
    chosen = copy / "chosen.txt"
    chosen.write_text("\n".join(names))
    options = ["-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:randomly"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"@{chosen}"],
        cwd=copy,
        env=environment(copy),
        capture_output=True,
        timeout=400,
        check=False,
    ).returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mutants")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    copies = [out / f"tree{n}" for n in range(AT_ONCE)]
    data = out / "coverage"
    results = out / "results.jsonl"
    ignored = shutil.ignore_patterns(".venv", "build", "dist", ".git", "*.egg-info", ".*_cache")
    for copy in copies:
        shutil.rmtree(copy, ignore_errors=True)  # a run that was stopped may have left a change
        shutil.copytree(ROOT, copy, ignore=ignored)
    if not data.exists():
        learn(copies[0], data)
    known = {}
    if results.exists():
        rows = map(json.loads, results.read_text().splitlines())
        known = {Mutant(**row["mutant"]): row["result"] for row in rows}
    mutants = drawn(arguments.count, arguments.seed)
    free: queue.Queue[Path] = queue.Queue()
    for copy in copies:
        free.put(copy)

    def result(mutant: Mutant) -> str:
        if mutant in known:
            return known[mutant]
        copy = free.get()
        try:
            return judged(copy, tests_of(data, copies[0], mutant), mutant)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(AT_ONCE) as pool, results.open("a") as file:
        for n, (mutant, found) in enumerate(
            zip(mutants, pool.map(result, mutants), strict=True), start=1
        ):
            if mutant not in known:
                known[mutant] = found
                row = {"mutant": dataclasses.asdict(mutant), "result": found}
                file.write(json.dumps(row) + "\n")
                file.flush()
            place = f"{mutant.path}:{mutant.line}"
            print(
                f"{n}/{len(mutants)}  {found:<8}  {place}  {mutant.kind}: {mutant.new}", flush=True
            )
    counts = Counter(known[mutant] for mutant in mutants)
    killed = counts["killed"] + counts["hung"]
    print(f"{killed} of {len(mutants)} killed, {100 * killed / len(mutants):.1f} %")


if __name__ == "__main__":
    main()
