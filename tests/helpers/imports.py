"""What the files of packages import, read from their source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    name: str  # a module or a name in it: "edge_lstm.data.load", "edge_lstm.data.load.Splits"
    line: int
    inside: bool  # a function
    typing: bool = False  # for type checkers alone


def modules(packages: Mapping[str, Path]) -> dict[str, Path]:
    """Dotted name -> file of every module. packages: import package -> its parent folder."""
    found = {}
    for package, folder in packages.items():
        for path in sorted((folder / package).rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(module: str, path: Path) -> Iterator[Import]:
    """Of one file, each name of a `from` by itself, and relative ones made absolute."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]

    def walk(node: ast.AST, inside: bool, typing: bool = False) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, child.lineno, inside, typing)
            elif isinstance(child, ast.ImportFrom):
                assert child.level <= len(package), f"{path}:{child.lineno} leaves its package"
                above = package[: len(package) + 1 - child.level] if child.level else []
                base = ".".join([*above, *([child.module] if child.module else [])])
                for alias in child.names:
                    yield Import(f"{base}.{alias.name}", child.lineno, inside, typing)
            function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            checked = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            yield from walk(child, inside or function, typing or checked)

    yield from walk(ast.parse(path.read_text("utf-8")), inside=False)


def brought(packages: Mapping[str, Path]) -> dict[str, set[str]]:
    """Module -> the libraries that importing it imports, those of its packages too."""
    files = modules(packages)
    here: dict[str, set[str]] = {}
    edges: dict[str, set[str]] = {}
    for module, path in files.items():
        names = {i.name for i in imports(module, path) if not i.inside and not i.typing}
        here[module] = {name.split(".")[0] for name in names} - packages.keys()
        parts = module.split(".")
        above = {".".join(parts[:k]) for k in range(1, len(parts))}
        used = {name if name in files else name.rpartition(".")[0] for name in names}
        edges[module] = (used | above) & files.keys()
    return {module: set().union(*(here[m] for m in reach(edges, module))) for module in files}


def reach(edges: Mapping[str, set[str]], start: str) -> set[str]:
    """The nodes that edges lead to, the start among them."""
    seen = {start}
    todo = [start]
    while todo:
        todo += (new := edges[todo.pop()] - seen)
        seen |= new
    return seen


def graph(packages: Mapping[str, Path]) -> dict[str, set[str]]:
    """Module -> those of these packages that it imports, in functions and for type checkers too."""
    files = modules(packages)
    found = {}
    for module, path in files.items():
        names = {i.name for i in imports(module, path)}
        # `from a import b` is of the module a.b, or of a name in a.
        found[module] = {
            name if name in files else name.rpartition(".")[0] for name in names
        } & files.keys() - {module}
    return found


def circles(edges: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    """Strongly connected components: groups of modules that all import each other in the end."""

    # Without the node itself, unless an edge leads back to it.
    reached = {m: set().union(*(reach(edges, n) for n in edges[m])) for m in edges}
    return sorted(
        {tuple(sorted(b for b in reached[a] if a in reached[b])) for a in edges if a in reached[a]}
    )
