"""From a file or a folder to a configuration that trains as it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

from edge_lstm_runtime.errors import ConfigError, DataError, EdgeLstmError
from edge_lstm_runtime.model.spec import ModelSpec

from ..config.load import parsed_config
from ..config.schema import Config
from ..data.load import load_data, make_spec
from ..data.recordings import Splits
from ..data.windows import examples, pieces
from . import FINDERS, PLANS
from .ask import Ask
from .draft import Draft
from .finding import Facts, Finding, Search, read
from .place import Place, place_at
from .plan import Plan, section_of
from .render import rendered
from .roles import Stated


class Guessed(NamedTuple):
    """text: of the file. facts: what was found."""

    text: str
    config: Config
    splits: Splits
    facts: Facts


def guessed(data: Path, out: Path, stated: Stated, ask: Ask) -> Guessed:
    """out: the file that will hold it. Nothing is written.

    Raises DataError if the data can't be learned from, and ConfigError for what the user states.
    """
    ask.check()
    place = place_at(data, out.parent)
    if stated.task is not None and not section_of(stated.task).needs_labels:
        stated = dataclasses.replace(stated, label="none")
    facts = _found(Search(place, stated))
    name, plan = _task(facts, ask)
    if not section_of(name).needs_labels and facts.labelled:
        facts = _found(Search(place, dataclasses.replace(stated, label="none")))
    if wrong := plan.able(facts):
        raise DataError(f"{data}: task {name!r}: {wrong}")
    return _accepted(facts, plan, ask, name, out)


def _found(search: Search) -> Facts:
    findings: list[Finding] = []
    wrong: DataError | None = None
    for name in FINDERS.names():
        try:
            found: Finding | None = FINDERS.load(name).find(search)
        except DataError as e:  # which another source may have nothing to do with
            wrong = wrong or e
            continue
        if found is not None:
            findings.append(found)
    if not findings:
        raise wrong or DataError(_nothing(search.place))
    best = max(findings, key=lambda f: (f.files, f.rank))
    return read(search, best)


def _nothing(place: Place) -> str:
    endings = sorted({file.ending or "(none)" for file in place.files})
    known = ", ".join(FINDERS.names())
    what = "a folder" if place.whole else "a file"
    return (
        f"{place.path}: no source reads {what} with {', '.join(endings[:5])}; expected data for "
        f"one of {known} (docs/configuration.md)"
    )


def _task(facts: Facts, ask: Ask) -> tuple[str, Plan]:
    plans: dict[str, Plan] = {name: PLANS.load(name).PLAN for name in PLANS.names()}
    if facts.stated.task is not None:
        if facts.stated.task not in plans:
            raise ConfigError(f"--task {facts.stated.task}: expected one of {', '.join(plans)}")
        return facts.stated.task, plans[facts.stated.task]
    fitting = {name: plan for name, plan in plans.items() if plan.reason(facts)}
    if not fitting:
        known = "no class is told by a column or by names of files or folders"
        raise DataError(f"{facts.recordings[0].name}: {known}; state --pattern or --label")
    best = max(fitting, key=lambda name: fitting[name].rank)
    able = [name for name, plan in plans.items() if not plan.able(facts) or name in fitting]
    chosen = ask.one("Task", best, fitting[best].reason(facts), able)
    return chosen, plans[chosen]


def _accepted(facts: Facts, plan: Plan, ask: Ask, name: str, out: Path) -> Guessed:
    """The first draft with which training begins. Raises the error of the first if none does."""
    first: EdgeLstmError | None = None
    read: dict[str, tuple[Guessed, ModelSpec]] = {}

    def checked(draft: Draft) -> tuple[ModelSpec, Splits]:
        text = rendered(draft, _about(facts, out))
        if text not in read:
            read[text] = _checked(text, facts, out)
        found, spec = read[text]
        return spec, found.splits

    for draft in plan.drafts(facts, ask, name):
        try:
            checked(draft)
        except EdgeLstmError as e:
            first = first or e
            continue
        best = draft if facts.stated.channels else plan.refined(draft, checked)
        checked(best)
        return read[rendered(best, _about(facts, out))][0]
    assert first is not None
    raise first


def _checked(text: str, facts: Facts, out: Path) -> tuple[Guessed, ModelSpec]:
    """With all that training does before its first epoch. Raises its error."""
    config = parsed_config(text, out)
    splits = load_data(config)
    spec = make_spec(config, splits)
    examples(spec, splits.train, **config.data.cuts)
    for part in (splits.val, splits.test):
        pieces(spec, part)
    return Guessed(text, config, splits, facts), spec


def _about(facts: Facts, out: Path) -> tuple[str, ...]:
    count = len(facts.recordings)
    recordings = f"{count:,} recording{'s' if count > 1 else ''}"
    return (
        f"Guessed by `edge-lstm init` from {recordings}, {facts.rows:,} steps. Comments say why. "
        "Change what is wrong: docs/configuration.md has all keys.",
        "",
        f"  edge-lstm data {out.name} --html page.html",
        f"  edge-lstm train {out.name} -o runs/{out.stem}",
    )
