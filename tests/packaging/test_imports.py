"""Imports go one way: runtime <- edge_lstm <- export; and the runtime needs nothing but NumPy."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"edge_lstm_runtime": ROOT / "deploy", "edge_lstm": ROOT, "edge_lstm_export": ROOT / "export"}
FORBIDDEN = {
    "edge_lstm_runtime": {"edge_lstm", "edge_lstm_export"},
    "edge_lstm": {"edge_lstm_export"},
    "edge_lstm_export": set[str](),
}
# What the runtime may use where it is installed, and only inside the function that needs it.
OPTIONAL = {"onnxruntime", "rknnlite"}


def sources(package: str) -> list[Path]:
    found = sorted((PACKAGES[package] / package).rglob("*.py"))
    assert len(found) > 5, f"where is {package}?"
    return found


def imports(path: Path) -> Iterator[tuple[str, bool, int]]:
    """(top-level package, at the top of the module?, line) of every import; relative ones are within the package."""

    def walk(node: ast.AST, inside: bool) -> Iterator[tuple[str, bool, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield alias.name.split(".")[0], not inside, child.lineno
            elif isinstance(child, ast.ImportFrom) and child.level == 0:
                yield (child.module or "").split(".")[0], not inside, child.lineno
            yield from walk(child, inside or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), False)


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package: str) -> None:
    wrong = [f"{path}:{line} imports {name}" for path in sources(package) for name, _, line in imports(path) if name in FORBIDDEN[package]]
    assert not wrong, "\n".join(wrong)


def test_the_runtime_imports_numpy_and_the_standard_library() -> None:
    allowed = set(sys.stdlib_module_names) | {"numpy", "edge_lstm_runtime"}
    wrong = []
    for path in sources("edge_lstm_runtime"):
        for name, at_top, line in imports(path):
            if name not in allowed and (at_top or name not in OPTIONAL):
                wrong.append(f"{path}:{line} imports {name}{' at the top' if at_top else ''}")
    assert not wrong, "\n".join(wrong)


def test_relative_imports_stay_inside_their_package() -> None:
    for package, root in PACKAGES.items():
        for path in sources(package):
            depth = len(path.relative_to(root).parts) - 1
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom):
                    assert node.level <= depth, f"{path}:{node.lineno} leaves {package}"


def test_no_package_at_the_folders_of_the_layout() -> None:
    for folder in ("export", "deploy"):
        assert not (ROOT / folder / "__init__.py").exists(), f"{folder}/ is a folder, not a package"
