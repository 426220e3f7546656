"""Boards as a table of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from edge_lstm.results.columns import aligned
from edge_lstm_runtime.shown import counted, in_a_line

from .answers import Running
from .asking import Status, differing, most_common
from .deploying import Deployed

NOTHING = "–"
FIGURES = ("p50 µs", "p99 µs", "NRMSE")


def deployed(found: Mapping[str, Deployed]) -> str:
    """What each board runs in the end, and a line that counts."""
    titles = ["host", "result", "model", "version", "backend", *FIGURES, "why"]
    rows = [
        [one.host, one.result, *_model(one.runs), *_figures(one.runs), one.why or ""]
        for one in found.values()
    ]
    counts = Counter(one.result for one in found.values())
    told = ", ".join(f"{number} {result}" for result, number in counts.items())
    return _text(titles, rows, range(5, 8)) + f"{counted(len(found), 'board')}: {told}\n"


def statuses(found: Mapping[str, Status]) -> str:
    """What each board runs, and which differ from most."""
    titles = ["host", "state", "model", "version", "sha256", "ready", "serving", "backend"]
    rows = []
    for one in found.values():
        name, version, backend = _model(one.runs)
        digest = (one.runs.digest or NOTHING)[:12]
        service = [_word(one.ready), _word(one.same)]
        cells = [one.host, one.state, name, version, digest, *service, backend]
        rows.append([*cells, *_figures(one.runs), one.why or ""])
    return _text([*titles, *FIGURES, "why"], rows, range(8, 11)) + "".join(_differences(found))


def _differences(found: Mapping[str, Status]) -> Iterable[str]:
    common = most_common(found)
    silent = [one.host for one in found.values() if not one.answered]
    same = len(found) - len(silent) - len(differing(found))
    if common is not None:
        first = next(one.runs for one in found.values() if one.runs.digest == common)
        version = "" if first.version is None else f" version {first.version}"
        model = in_a_line(f"{first.name or NOTHING}{version}, sha256 {common[:12]}")
        yield f"the same on {same} of {counted(len(found), 'board')}: {model}\n"
    if others := differing(found):
        yield f"other: {', '.join(map(in_a_line, others))}\n"
    if silent:
        yield f"no answer: {', '.join(map(in_a_line, silent))}\n"


def _model(runs: Running) -> list[str]:
    version = NOTHING if runs.version is None else str(runs.version)
    return [runs.name or NOTHING, version, runs.backend or NOTHING]


def _figures(runs: Running) -> list[str]:
    times = [NOTHING if v is None else f"{v:.3g}" for v in (runs.p50_us, runs.p99_us)]
    return [*times, NOTHING if runs.nrmse is None else f"{runs.nrmse:.1e}"]


def _word(value: bool | None) -> str:
    return {True: "yes", False: "no", None: NOTHING}[value]


def _text(titles: Sequence[str], rows: Sequence[Sequence[str]], right: range) -> str:
    shown = [[in_a_line(cell) for cell in row] for row in (titles, *rows)]
    return "\n".join(aligned(shown, right)) + "\n"
