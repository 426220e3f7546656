"""Every case of the table, in every format: as stated, in one line, nothing in silence."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from cases import cells, streams, texts, times
from cases.copies import configured
from cases.table import FORMATS, TEXTS, Case, Outcome
from edge_lstm.config.schema import Config
from edge_lstm.data.load import load_data
from edge_lstm.data.statistics import make_spec
from edge_lstm_runtime.backends.reference import Reference
from edge_lstm_runtime.cli._shared import text_blocks
from edge_lstm_runtime.errors import ConfigError, DataError
from edge_lstm_runtime.feeds.lines import answers
from edge_lstm_runtime.model.spec import ModelSpec, describe
from edge_lstm_runtime.session import Session
from helpers.bundles import make_bundle
from helpers.commands import environment
from helpers.weights import random_weights

TABLES = {"cells": cells, "texts": texts, "times": times, "streams": streams}
CASES = {f"{table}: {c.name}": c for table, rows in TABLES.items() for c in rows.CASES}
TAKEN = {
    f"{name}-{form}": (case, form)
    for name, case in CASES.items()
    for form in FORMATS
    if form not in case.not_in
}


def config_of(folder: Path, case: Case, form: str, content: bytes) -> Config:
    """The configuration of a case, with this file and two copies of it."""
    form = "comma" if form == "json" else form
    source = "csv" if form in TEXTS else form
    task = {"task": "forecast", "targets": case.channels[:1], "horizon": 1}
    return configured(folder, source, content, case.channels, case.keys_in(form), task)


def trained(folder: Path, case: Case, form: str) -> Outcome:
    """What training reads, or its error."""
    config = config_of(folder, case, form, case.content(form))
    try:
        found = config.data.read(config.asked)[0]
    except DataError as e:
        return str(e)
    notes = " ".join(found.notes)
    assert case.note in notes if case.note else not found.notes, notes
    return plain(found.x)


def plain(x: Any) -> list[list[float | None]]:
    return [[None if math.isnan(v) else v for v in row] for row in np.asarray(x).tolist()]


def spec_of(folder: Path, case: Case, form: str) -> ModelSpec:
    """The specification that the board has: of this file, or of another one of its form."""
    form = "comma" if form == "json" else form
    trains, _ = case.outcome(form)
    own = trains is not None and not isinstance(trains, str) and not case.like
    content = case.content(form) if own else case.sample(form)
    config = config_of(folder, case, form, content)
    made = make_spec(config, load_data(config))
    return ModelSpec.from_dict(json.loads(json.dumps(made.to_dict())))


class Hearing(Session):
    """Keeps the samples that it has taken."""

    def __init__(self, spec: ModelSpec):
        super().__init__(spec, Reference(spec, random_weights(spec)))
        self.heard: list[ArrayLike] = []

    def step(self, x: ArrayLike) -> NDArray[Any]:
        outputs = super().step(x)
        self.heard.append(x)
        return outputs


def on_a_board(path: Path, spec: ModelSpec) -> Outcome:
    """The sample or the error of each line, or the error of the whole."""
    form = spec.inputs.text
    session = Hearing(spec)
    with text_blocks(str(path), form) as blocks:
        lines = [line for block in blocks for line in block]
    try:
        streamed = list(answers(session, lines, form=form, skip_rows=form.skip_rows))
    except ConfigError as e:
        return str(e)
    heard = iter(plain(session.heard))
    return [answer.get("error") or next(heard) for answer in streamed]


def check(found: Outcome, expected: Outcome) -> None:
    """Numbers to the bit. An error is one line that holds the words."""
    if isinstance(expected, str) or isinstance(found, str):
        assert isinstance(found, str), f"read as {found}; expected an error with {expected!r}"
        assert isinstance(expected, str), found
        assert expected in found
        assert len(found.splitlines()) == 1
        return
    assert len(found) == len(expected), found
    for line, wanted in zip(found, expected, strict=True):
        if isinstance(wanted, str) or isinstance(line, str):
            check(line, wanted)
        else:
            assert line == list(wanted)


def test_each_case_is_in_five_formats_or_says_why_not() -> None:
    for case in CASES.values():
        assert set(case.not_in) <= set(FORMATS), case.name
        assert len(set(FORMATS) - set(case.not_in)) >= 5 or all(case.not_in.values()), case.name
    assert len(CASES) == sum(len(table.CASES) for table in TABLES.values())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all cases: each writes its own files, and 2,000 folders take seconds."""
    return tmp_path_factory.mktemp("cases")


@pytest.mark.parametrize(("case", "form"), TAKEN.values(), ids=TAKEN.keys())
def test_a_case(folder: Path, case: Case, form: str) -> None:
    trains, runs = case.outcome(form)
    if trains is not None and form != "json":
        check(trained(folder, case, form), trains)
    if form == "parquet":  # a board reads lines
        return
    spec = spec_of(folder, case, form)
    path = folder / "input"
    path.write_bytes(case.content(form))
    check(on_a_board(path, spec), runs)


@pytest.mark.parametrize("cell", ["1" + "0" * 40, "1e300", "-1.7e308"])
def test_a_value_that_no_statistics_hold_is_refused_with_its_channel(
    tmp_path: Path, cell: str
) -> None:
    case = Case("", "B", f"a,b\n1,2\n3,{cell}\n5,6\n")
    config = config_of(tmp_path, case, "comma", case.content("comma"))
    with pytest.raises(DataError, match=r"channel 'b' has values up to .*, too large to normalize"):
        make_spec(config, load_data(config))


# --- the command ---

# All files in one process, because starting one takes longer than all of its answers.
MANY = """
import json, os, sys
from edge_lstm_runtime import cli
for folder in json.load(sys.stdin):
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    arguments = [os.path.join(folder, "model.edge"), "--input", os.path.join(folder, "input")]
    code = cli.main(["run", *arguments, "--backend", "reference"])
    sys.stdout.flush()
    sys.stderr.flush()
    with open(os.path.join(folder, "code"), "w") as file:
        file.write(str(code))
"""


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(form, marks=() if form == "german" else pytest.mark.slow)
        for form in FORMATS
        if form != "parquet"
    ],
)
def test_the_command(tmp_path: Path, form: str) -> None:
    """The cases of a format in a process of its own: answers to the literals, one line an error."""
    folders: dict[Path, tuple[Case, ModelSpec]] = {}
    for number, (case, _) in enumerate(taken for taken in TAKEN.values() if taken[1] == form):
        folder = tmp_path / str(number)
        folder.mkdir()
        spec = spec_of(folder, case, form)
        make_bundle(folder / "model.edge", spec, steps=2)
        (folder / "input").write_bytes(case.content(form))
        folders[folder] = (case, spec)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", MANY],
        input=json.dumps(list(map(str, folders))).encode(),
        capture_output=True,
        env=environment(),
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    for folder, (case, spec) in folders.items():
        code, out, err = ((folder / name).read_text() for name in ("code", "out", "err"))
        _, expected = case.outcome(form)
        if isinstance(expected, str):
            assert (code, out) == ("2", "")
            check(err.removesuffix("\n"), expected)
            continue
        found = [json.loads(line) for line in out.splitlines()]
        errors = sum(isinstance(line, str) for line in expected)
        assert code == str(int(errors > 0)), case.name
        assert len([line for line in err.splitlines() if "could not be used" in line]) == (
            errors > 0
        )
        assert "Traceback" not in err
        session = Session(spec, Reference(spec, random_weights(spec)))
        assert len(found) == len(expected), case.name
        for answer, line in zip(found, expected, strict=True):
            if isinstance(line, str):
                check(answer["error"], line)
            else:
                wanted = describe(spec, session.step([math.nan if x is None else x for x in line]))
                assert {k: answer[k] for k in wanted} == wanted, case.name
