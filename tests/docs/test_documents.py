"""The documents agree with the source: links, keys, versions, messages."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from helpers.paths import ROOT

PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
DOCUMENTS = [*map(ROOT.joinpath, PAGES), *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_and_make_targets_exist(document):
    text = document.read_text("utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / link).exists(), f"{document.name} links to {link}"
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(
        re.findall(r"make (\w+)", re.sub(r"[^`]*`([^`]*)`[^`]*|.", r" \1 ", text))
    ) <= targets | {"clean"}


def documented_keys(text: str) -> set[str]:
    return set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))


def test_every_configuration_key_is_documented():
    """A section's keys. [data], [model] and [train] also have those of every source or task."""
    from edge_lstm.config import common, schema
    from edge_lstm.config.transforms import CalendarConfig, TransformConfig
    from edge_lstm.data.sources import SOURCES
    from edge_lstm.tasks import TASKS

    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    sections = {s.split("`")[1]: s for s in re.split(r"^## ", text, flags=re.MULTILINE)[1:]}
    fixed = {name: schema.Config.model_fields[name].annotation for name in schema.OPTIONAL}
    fixed = {
        name: next(c for c in get_args(annotation) if c is not type(None))
        for name, annotation in fixed.items()
    }
    for name, section in {**fixed, "data.split": common.SplitConfig}.items():
        assert documented_keys(sections[f"[{name}]"]) == set(section.model_fields), name
    tables = {"Transforms": TransformConfig, "Calendar": CalendarConfig}
    for title, section in tables.items():
        part = next(p for p in re.split(r"^##+ ", text, flags=re.MULTILINE) if p.startswith(title))
        assert documented_keys(part) == set(section.model_fields), title
    tasks = {name: TASKS.load(name).Section for name in TASKS.names()}
    for title, found in {
        "[data]": {name: SOURCES.load(name).Section for name in SOURCES.names()},
        "[model]": tasks,
        "[train]": {name: task.Train for name, task in tasks.items()},
    }.items():
        # "csv" has the keys under "### `csv`, `parquet`: tables", and those under "And for `csv`:".
        everyone, *parts = re.split(r"^### |^And (?=for `)", sections[title], flags=re.MULTILINE)
        named = [
            (set(re.findall(r"`([\w-]+)`", part.splitlines()[0])), documented_keys(part))
            for part in parts
        ]
        for name, section in found.items():
            general = (
                everyone if name != "text" else everyone.partition("For every source of numbers")[0]
            )
            expected = documented_keys(general).union(
                *(keys for names, keys in named if name in names)
            )
            assert expected == set(section.model_fields) - {"split"}, (title, name)
        assert set.union(set(), *(names & found.keys() for names, keys in named if keys)) >= {
            n for n in found if title != "[train]"
        }


def test_documents_name_the_same_version():
    import edge_lstm
    import edge_lstm_runtime

    assert edge_lstm.__version__ == edge_lstm_runtime.__version__
    assert f"## {edge_lstm_runtime.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_boards_page_quotes_what_is_said() -> None:
    """The messages of its table are those of the source."""
    board = (ROOT / "docs/board.md").read_text("utf-8")
    text = "".join(
        path.read_text("utf-8") for path in (ROOT / "deploy/edge_lstm_runtime").rglob("*.py")
    )
    said = re.sub(r'"\s*f?"', "", text)  # a string over several lines
    table = board.partition("## 5. Check")[2].partition("## When")[0]
    quoted = re.findall(r"^\| `([^`]+)` ", table, re.MULTILINE)
    assert len(quoted) >= 7
    for message in quoted:
        for part in filter(None, map(str.strip, message.replace("rk3588", "...").split("..."))):
            assert part.replace("backend 'rknn' needs", "") in said or part in said, part
