"""A fault or a kill -9 at the n-th write of `edge-lstm install`, for some n or for all.

Afterwards `current` is the old release or the new one, whole. The next call ends the work.
"""

from __future__ import annotations

import errno
import random
import shutil
from pathlib import Path

import pytest

from helpers.bundles import make_bundle
from helpers.installed import current, digest, install, leftovers, status, tree
from helpers.on_request import ALL, ON_REQUEST
from helpers.specs import make_spec
from helpers.write_faults import NEVER, Case, Ended, Run

pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None, reason="gcc is not installed, which builds the preloaded library"
)
MODULES = ("edge_lstm_runtime.cli.install",)
FEW = 3
SPEC = make_spec(hidden=4)
both = pytest.mark.parametrize(
    "many",
    [
        pytest.param(False, id="few", marks=pytest.mark.slow),
        pytest.param(True, id="all", marks=[pytest.mark.slow, ON_REQUEST]),
    ],
)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """Version 3 onto a board with 1 and 2: one release is removed too."""
    template = tmp_path / "template"
    template.mkdir()
    for version in (1, 2, 3):
        model = {"name": "room", "version": version}
        make_bundle(template / f"{version}.edge", SPEC, seed=version, model=model)
        if version < 3:
            install(template / f"{version}.edge", template / "to")
    return Case(tmp_path, "to", ("install", "3.edge", "--to", "to"), MODULES)


def chosen(case: Case, many: bool) -> list[int]:
    (ended,) = case.runs([NEVER])
    assert ended.code == 0, ended.error
    case.clear()
    calls = list(range(ended.seen))
    assert len(calls) > 20
    return calls if many or ALL else sorted(random.Random(0).sample(calls, FEW))


def runs(case: Case, faults: list[Run]) -> list[tuple[Ended, Path, str, str]]:
    """With the folder, and the digests of the old and of the new release."""
    old, new = (digest(case.folder / "template" / f"{v}.edge") for v in (2, 3))
    return [(ended, ended.folder / "to", old, new) for ended in case.runs(faults)]


@both
def test_killed_at_any_write(case: Case, many: bool) -> None:
    seen = set()
    for ended, to, old, new in runs(case, [(n, 0, False) for n in chosen(case, many)]):
        assert ended.code == -9
        assert current(to) in (old, new), ended.run
        seen.add(current(to))
        before = status(to)
        assert before["digest"] == current(to)
        found = install(ended.folder / "3.edge", to)
        assert found["result"] in ("installed", "already"), (ended.run, found)
        assert (current(to), status(to)["state"]) == (new, "done")
        assert leftovers(to) == []
        assert len(list((to / "releases").iterdir())) == 2
    if many:
        assert len(seen) == 2


@both
def test_a_fault_at_any_write(case: Case, many: bool) -> None:
    """A full disk that stays full, a broken one, a full one that has room again at once."""
    kinds = ((errno.ENOSPC, True), (errno.EIO, False), (errno.ENOSPC, False))
    faults = [(n, *kinds[n % 3]) for n in chosen(case, many)]
    untouched = tree(case.folder / "template" / "to")
    for ended, to, old, new in runs(case, faults):
        assert "Traceback" not in ended.error, ended
        assert ended.code in (0, 1, 2), ended
        assert current(to) == (new if ended.code == 0 else old), ended
        assert leftovers(to) == [] or ended.code == 0, (ended, leftovers(to))
        if ended.code == 2:
            lines = [e for e in ended.error.splitlines() if e.startswith("edge-lstm: error: ")]
            assert len(lines) == 1, ended
            now = tree(to)
            for path, content in untouched.items():
                assert path == "install.json" or now[path] == content, (ended, path)
            assert set(now) == set(untouched), ended
        found = install(ended.folder / "3.edge", to)
        assert found["result"] in ("installed", "already"), (ended, found)
        assert (current(to), status(to)["state"]) == (new, "done")
        assert leftovers(to) == []
