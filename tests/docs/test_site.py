"""The documentation as a site, the notebooks, and the commands of the Python page."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import pytest

from helpers.commands import environment
from helpers.paths import ROOT
from helpers.public import names

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def module(name: str) -> ModuleType:
    """A file of docs/_site."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "_site" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def pages() -> Any:
    return module("pages")


@pytest.fixture(scope="module")
def docstrings() -> Any:
    return module("docstrings")


@pytest.mark.parametrize(
    ("folder", "text", "expected"),
    [
        (".", "[a](docs/run.md#lines)", "[a](run.md#lines)"),
        (".", "[a](SECURITY.md)", "[a](security.md)"),
        (".", "![a](docs/report.png)", "![a](report.png)"),
        (".", "[a](tests/README.md)", "a"),
        (".", "[a](#here) [b](https://x.org/docs/run.md)", None),
        ("docs", "[a](../README.md#install)", "[a](index.md#install)"),
        ("docs", "[a](run.md)", "[a](run.md)"),
        ("docs", "[a](../pyproject.toml) and more", "a and more"),
        ("docs", "[a](notebooks/forecasting.ipynb)", "[a](notebooks/forecasting.md)"),
        ("docs/api", "[a](../python.md)", "[a](../python.md)"),
        ("docs/notebooks", "[a](../../README.md#on-a-board)", "[a](../index.md#on-a-board)"),
        ("docs/notebooks", "[a](forecasting.ipynb)", "[a](../notebooks/forecasting.md)"),
    ],
)
def test_links_as_the_site_has_them(
    pages: Any, folder: str, text: str, expected: str | None
) -> None:
    assert pages.in_site(text, PurePosixPath(folder)) == (expected or text)


DOCSTRING = """Do it.

x: (N, C) numbers,
of a sensor.
val, test    a share
Raises DataError: it may be so.

>>> 1 + 1
2

    y = W x

See docs/run.md.
"""
MARKDOWN = """Do it.

- **x**: (N, C) numbers,
    of a sensor.
- **val, test**: a share

Raises DataError: it may be so.

```pycon
>>> 1 + 1
2
```

    y = W x

See [docs/run.md](../run.md)."""


def test_a_docstring_in_markdown(docstrings: Any) -> None:
    assert docstrings.as_markdown(DOCSTRING) == MARKDOWN


def test_every_public_name_has_its_place_in_the_reference() -> None:
    shown = []
    for path in (ROOT / "docs" / "api").glob("*.md"):
        shown += re.findall(r"^::: (\S+)$", path.read_text("utf-8"), re.MULTILINE)
    assert len(shown) == len(set(shown))
    assert set(shown) == {item.where for item in names()}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    import nbformat

    nbformat.validate(nbformat.read(path, 4))
    cells = json.loads(path.read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert {cell["execution_count"] for cell in code} == {None}
    text = "\n".join("".join(cell["source"]) for cell in code)
    for used in ("el.fit(", "plt.", "run.export(", "model.session()"):
        assert used in text


def test_the_notebooks_are_two_and_linked() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["classification", "forecasting"]
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    assert all(f"(notebooks/{path.name})" in page for path in NOTEBOOKS)


# --- run ---


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    html = "".join(path.read_text("utf-8") for path in (tmp_path / "api").glob("*.html"))
    for item in names():
        name = item.where.rpartition(".")[2]
        anchors = (f'id="{item.where}"', f'id="{item.where}.{name}"')
        assert any(anchor in html for anchor in anchors), item.where
    loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"', html)
    assert loaded == []  # nothing comes from elsewhere


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    """In a process of its own: a kernel leaves warnings of its sockets behind."""
    script = (
        "import sys, nbformat\n"
        "from nbclient import NotebookClient\n"
        "found = nbformat.read(sys.argv[1], 4)\n"
        "NotebookClient(found, timeout=180, kernel_name='python3',\n"
        "               resources={'metadata': {'path': sys.argv[2]}}).execute()\n"
        "for cell in found.cells:\n"
        "    for output in cell.get('outputs', []):\n"
        "        print(output.get('text') or output.get('data', {}).get('text/plain', ''))\n"
        "        print('PICTURE' if 'image/png' in output.get('data', {}) else '')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), str(tmp_path)],
        env=environment() | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("PICTURE") >= 2
    if path.stem == "classification":
        right = re.search(r"(\d+) of 12 recordings are right", done.stdout)
        assert right is not None
        assert int(right[1]) >= 9
    else:
        assert "The model beats the seasonal naive forecast" in done.stdout
        assert done.stdout.split()[-1] == "True"


@pytest.mark.slow
def test_the_python_page_runs_from_its_top(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 5
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks))
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert {"up.edge", "best.edge"} <= {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "runs" / "users" / "metrics.json").exists()
