"""A small job for every command, on real data."""

from __future__ import annotations

import csv
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_lstm_runtime import write_bundle
from edge_lstm_runtime.backends.reference import Reference
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.session import Session
from helpers.bundles import make_bundle
from helpers.keys import make_key
from helpers.specs import language_spec, make_spec
from helpers.weights import random_weights

if TYPE_CHECKING:
    from edge_lstm import Run

CONFIG = """
[data]
source = "csv"
path = "{data}"
channels = ["{first}", "ay", "az", "gx", "gy", "gz"]
label = "activity"
group = "recording"
[data.split]
by = "group"
[model]
task = "classify"
hidden_size = 4
[train]
epochs = 2
accelerator = "cpu"
threads = 1
"""


# Of RTNeural: an LSTM of one unit.
NET = """{"in_shape": [null, null, 1], "layers": [
    {"type": "lstm", "weights": [[[0.5, 0.5, 1.0, 0.5]], [[0.1, 0.2, 0.3, 0.4]], [0, 1, 0, 0]]},
    {"type": "dense", "weights": [[[1.5]], [0.25]]}]}
"""


class Job(NamedTuple):
    """arguments: names in braces are files of `Place`. writes: files of its work, below `out`.

    code: of an undisturbed run. slow: whether it takes more than some seconds.
    """

    arguments: str
    writes: tuple[str, ...] = ()
    slow: bool = False
    code: int = 0


JOBS = {
    "run": Job("run {bundle} --input {samples} --backend numpy"),
    "run --state": Job(
        "run {bundle} --input {samples} --backend numpy --state {out}/a.state", ("a.state",)
    ),
    "generate": Job("generate {prose} --prompt ab --length 20 --backend numpy"),
    "check": Job("check {bundle} --backend numpy"),
    "bench": Job("bench {bundle} --backend numpy --steps 20 --streams 2"),
    "info": Job("info {bundle}"),
    "slim": Job("slim {bundle} --keep native -o {out}/small.edge", ("small.edge",)),
    "sbom": Job("sbom {bundle} -o {out}/a.cdx.json", ("a.cdx.json",)),
    "sign": Job("sign {bundle} --key {key} -o {out}/a.edge.sig", ("a.edge.sig",)),
    "service": Job("service {bundle}"),
    "install": Job("install {bundle} --to {out}/har", ("har/install.json", "har/current/a.edge")),
    "deploy": Job("deploy {bundle} pi@127.0.0.1 --to har --dry-run"),
    "fleet": Job("fleet status pi@127.0.0.1 --port 1 --to har", code=1),  # no board is there
    "recipes": Job("recipes"),
    "init": Job("init {data} --yes -o {out}/mine.toml", ("mine.toml",)),
    "data": Job("data {config} --no-scores --html {out}/page.html", ("page.html",), slow=True),
    "targets": Job("targets"),
    "lint": Job("lint {bundle} --target rk3588 --scheme fp16", code=1),
    "converter": Job("converter"),
    "runs": Job("runs {run}"),
    "train": Job("train {config} -o {out}/run", ("run/best.pt", "run/metrics.json"), slow=True),
    "inspect": Job("inspect {run} -o {out}/inside.html", ("inside.html",), slow=True),
    "export": Job("export {run} --no-npu -o {out}/a.edge", ("a.edge", "a.html"), slow=True),
    "import": Job("import {net} -o {out}/net.edge", ("net.edge", "net.html"), slow=True),
    "compare": Job("compare {config} -o {out}/all", ("all/compare.json",), slow=True),
    "search": Job(
        "search {config} -o {out}/search --trials 1 --workers 1 --set search.draws=1",
        ("search/search.json", "search/chosen.toml"),
        slow=True,
    ),
    "demo": Job("demo -o {out}/demo", ("demo/motions.edge", "demo/motions.html"), slow=True),
}


class Place(NamedTuple):
    """The files of the jobs. Everybody may read them, and write below `out`."""

    folder: Path
    files: Mapping[str, Path]

    def command(self, verb: str, out: Path) -> list[str]:
        words = shlex.split(JOBS[verb].arguments)
        return [sys.executable, "-m", "edge_lstm_command", *self.named(words, out)]

    def named(self, words: list[str], out: Path) -> list[str]:
        return [word.format(**self.files, out=out) for word in words]


def make_place(folder: Path, trained: Run) -> Place:
    files = {name: folder / name for name in ("samples", "run")}
    files["bundle"] = folder / "a.edge"
    make_bundle(files["bundle"], make_spec(hidden=4), form="fused")
    files["prose"] = folder / "prose.edge"
    prose = language_spec("abc", hidden=4)
    weights = random_weights(prose)
    x = np.zeros((4, 1))
    y = Session(prose, Reference(prose, weights)).run(x)
    golden = write_npz({"x": x, "y": y})
    write_bundle(files["prose"], prose, weights, {"golden.npz": golden})
    files["samples"].write_text("1,2,3\n-1,0.5,0.25\n")
    files["key"] = folder / "key"
    if shutil.which("ssh-keygen"):
        make_key(files["key"])
    files["net"] = folder / "net.json"
    files["net"].write_text(NET)
    shutil.copytree(trained.path, files["run"])
    for name, first in (("config", "ax"), ("strange", "größe_±")):
        data = folder / f"{name}.csv"
        _write_recordings(trained, data, first)
        files[name] = folder / f"{name}.toml"
        files[name].write_text(CONFIG.format(data=data.name, first=first), "utf-8")
    files["data"] = folder / "config.csv"
    return Place(folder, files)


def _write_recordings(run: Run, path: Path, first: str) -> None:
    """Every third recording of BasicMotions, its first 30 steps."""
    recordings = [*run.splits.train, *run.splits.val, *run.splits.test][::3]
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["recording", "activity", first, *run.spec.inputs.names[1:]])
        for number, recording in enumerate(recordings):
            activity = run.spec.answer.classes[recording.label or 0]
            rows.writerows([number, activity, *sample] for sample in recording.x[:30].tolist())
