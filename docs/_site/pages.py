"""A hook of MkDocs: the README and the notebooks as pages, and links that hold in the site too.

In the repository the README is beside the folder docs/, and its links go into it. In the site all
pages are in one folder.
"""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
# Files of the repository that are pages of the site, and their names there.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
LINK = re.compile(r"(?P<text>!?\[[^\]]*\]\()(?P<path>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are not in docs/, and a page for each notebook."""
    for name, page in PAGES.items():
        text = (ROOT / name).read_text("utf-8")
        files.append(File.generated(config, page, content=in_site(text, PurePosixPath())))
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        text = in_site(as_page(path), PurePosixPath("docs/notebooks"))
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
    return files


def as_page(path: Path) -> str:
    """A notebook in Markdown: its text, and its cells of code."""
    parts = []
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(f"```python\n{text}\n```" if cell["cell_type"] == "code" else text)
    file = f'<a href="{path.name}" download>The notebook itself</a>: run it cell by cell.'
    return "\n\n".join([parts[0], file, *parts[1:]])


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The links of a page in docs/."""
    if page.file.generated_by is not None:  # which has them already
        return markdown
    return in_site(markdown, PurePosixPath("docs") / PurePosixPath(page.file.src_uri).parent)


def in_site(text: str, folder: PurePosixPath) -> str:
    """The text with its links as the site has them. folder: of the page, in the repository.

    A link to a file that is no page, such as a source, becomes its text.
    """

    def link(match: re.Match[str]) -> str:
        path = match["path"]
        if not path or "://" in path or path.startswith("mailto:"):
            return match[0]
        target = _place(folder / path)
        if target.endswith(".ipynb") and (ROOT / target).is_file():
            return f"{match['text']}{_from(folder, f'{target[5:-6]}.md')})"
        anchor = match["anchor"] or ""
        if target in PAGES:
            return f"{match['text']}{_from(folder, PAGES[target])}{anchor})"
        if target.startswith("docs/") and (ROOT / target).is_file():
            return f"{match['text']}{_from(folder, target.removeprefix('docs/'))}{anchor})"
        return match["text"].lstrip("!")[1:-2]

    return LINK.sub(link, text)


def _place(path: PurePosixPath) -> str:
    """Without "..": "docs/../README.md" is "README.md"."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _from(folder: PurePosixPath, page: str) -> str:
    """The page as a page in `folder` links to it."""
    depth = len(folder.parts) - 1 if folder.parts[:1] == ("docs",) else 0
    return "../" * depth + page
