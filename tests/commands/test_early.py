"""A mistake that can be seen at once is told at once: before PyTorch and the like are imported.

They take seconds on a desktop, and half a minute on a cold disk.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.commands import environment

CONFIG = """
[data]
source = "csv"
path = "a.csv"
channels = ["a", "b"]
group = "g"
[data.split]
by = "group"
[model]
task = "regress"
targets = ["y"]
hidden_size = 8
[train]
epochs = 1
"""
HEAVY = ("torch", "onnx", "sklearn", "aeon", "matplotlib", "statsmodels", "onnxruntime")
CHECK = f"""
import sys
from edge_lstm_runtime.cli import main
code = main(sys.argv[1:])
print(*(name for name in {HEAVY} if name in sys.modules))
sys.exit(code)
"""
SET = "train {folder}/a.toml -o {folder}/out --set "


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Things of each kind, known by their names. The spaces and quotes are for the advice."""
    folder = tmp_path_factory.mktemp("early") / "it's here"
    (folder / "run").mkdir(parents=True)
    for name in ("compared", "begun", "searched", "searched/chosen-003"):
        (folder / name).mkdir()
    (folder / "a.csv").write_text("g,a,b,y\n1,0.1,0.2,0.3\n")
    (folder / "a.toml").write_text(CONFIG)
    (folder / "nets").mkdir()
    nets = [f"nets/a.{kind}" for kind in ("keras", "nam", "pt2", "tflite")]
    plans = ["compared/plan.json", "begun/study.json", "searched/study.json"]
    for name in ("run/best.pt", "run/config.toml", "a.edge", "a.onnx", *plans, *nets):
        (folder / name).write_text("not looked at")
    return folder


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        # a path
        ("init nope.csv --yes", "nope.csv: there is no such file or folder; expected the data"),
        ("init {folder}/a.csv --yes -o {folder}/a.toml", "is there already; expected a new name"),
        ("init {folder}/a.csv --yes -o nope/x.toml", "nope/x.toml: the folder nope is not there"),
        ("init {folder}/a.csv -o b.toml", "standard input is no terminal, so nothing can be asked"),
        ("data nope.toml", "nope.toml: can't be read"),
        ("data {folder}/a.toml --html nope/x.html", "nope/x.html: the folder nope is not there"),
        ("runs {folder} --html nope/x.html", "nope/x.html: the folder nope is not there"),
        ("runs {folder} --html x.txt", "--html x.txt: expected a name like page.html"),
        ("data {folder}/a.toml --html x.txt", "--html x.txt: expected a name like page.html"),
        ("train nope.toml -o x", "nope.toml: can't be read (No such file or directory); expected"),
        (SET + "data.path=nope.csv", "nope.csv: there is no such file or folder"),
        ("train {folder}/a.toml -o {folder}/run", "holds a run already"),
        ("train {folder}/a.toml -o {folder}/new --resume", "there is no run to resume"),
        ("train {folder}/a.toml -o /proc/x", "/proc/x: can't be written: no file can be made in"),
        ("train {folder}/a.toml -o {folder}/compared", "is the folder of a comparison; name anoth"),
        ("compare nope.toml -o x", "nope.toml: can't be read"),
        ("compare {folder}/a.toml -o {folder}/run", "is the folder of a training run; name"),
        ("compare {folder}/a.toml -o {folder}/compared", "holds a comparison already"),
        ("compare {folder}/a.toml -o /proc/x", "/proc/x: can't be written: no file can be made in"),
        ("search nope.toml -o x", "nope.toml: can't be read"),
        ("search {folder}/a.toml -o {folder}/run", "is the folder of a training run; name"),
        ("search {folder}/a.toml -o /proc/x", "/proc/x: can't be written: no file can be made in"),
        ("search {folder}/a.toml -o x --budget 'bytes<40'", "a limit is written with <=, as in"),
        ("search {folder}/a.toml -o x --budget 'ram<=4k'", "there is no quantity 'ram'; expected"),
        ("search {folder}/a.toml -o x --trials 0", "--trials 0: expected at least 1"),
        ("search {folder}/a.toml -o x --workers 0", "--workers 0: expected at least 1"),
        ("search {folder}/a.toml -o x --engine rya", "unknown engine 'rya'; did you mean 'ray'"),
        ("search {folder}/a.toml -o x --bench nope.json", "--bench nope.json: can't be read"),
        ("search {folder}/a.toml -o x --address a:1", "--address is for Ray, and --engine is opt"),
        ("search {folder}/a.toml -o x --engine ray --storage a", "--storage is for Optuna, and --"),
        ("search {folder}/a.toml -o x --set search.draws=0", "--set search.draws: [search] draws"),
        ("export nope -o x.edge", "nope: there is no such folder; expected the folder of a train"),
        ("export {folder}/run -o nope/x.edge", "can't write nope/x.edge: the folder nope is not"),
        ("export {folder}/run -o /proc/x.edge", "can't write /proc/x.edge: no file can be made"),
        ("export {folder}/run -o {folder}/run", "can't write {folder}/run: Is a directory"),
        ("export {folder}/run -o ''", "can't write .: Is a directory"),
        ("export {folder}/run -o /", "can't write /: Is a directory"),
        ("export {folder}/run -o x.html", "x.html: is no bundle's name; expected NAME.edge, such"),
        ("export {folder}/run -o x.txt", "x.txt: is no bundle's name; expected NAME.edge, such as"),
        ("export {folder}/run -o x", "x: is no bundle's name; expected NAME.edge, such as x.edge"),
        ("export {folder}/run -o x.EDGE", "x.EDGE: is no bundle's name; expected NAME.edge, such"),
        ("export nope --target c -o x", "nope: there is no such folder"),
        (
            "export nope --target c -o /",
            "/ is there and is no C export of edge-lstm; choose another",
        ),
        ("export {folder}/run --target c -o /proc/x", "can't write /proc/x: no file can be made"),
        ("inspect nope", "nope: there is no such folder; expected the folder of a training run"),
        ("inspect {folder}/run --input nope.csv", "--input nope.csv: there is no such file"),
        ("inspect {folder}/run -o x.txt", "-o x.txt: expected a name like page.html"),
        ("inspect {folder}/run -o /proc/x.html", "can't write /proc/x.html: no file can be made"),
        ("demo -o /proc/x", "/proc/x: can't be written: no file can be made in /proc"),
        (
            "demo -o ''",
            ". has files that no demo made: a.csv, a.edge, a.onnx, a.toml, begun, ...",
        ),
        ("import nope.onnx -o x.edge", "nope.onnx: there is no such file"),
        ("import {folder}/a.onnx -o {folder}/a.onnx", "a.onnx is read, and would be replaced; nam"),
        ("import {folder}/a.onnx -o {folder}/out.edge", "a.onnx: is truncated, or no ONNX file"),
        (
            "import {folder}/nets/a.keras -o {folder}/out.edge",
            "a.keras: can't be read: File is not a zip fi",
        ),
        (
            "import {folder}/nets/a.nam -o {folder}/out.edge",
            "a.nam: can't be read: Expecting value",
        ),
        (
            "import {folder}/nets/a.pt2 -o {folder}/out.edge",
            "a.pt2: is damaged, or no file of torch.export",
        ),
        (
            "import {folder}/nets/a.tflite -o {folder}/out.edge",
            "a.tflite: is no .tflite file: it doesn't b",
        ),
        ("lint nope.onnx --target rk3588 --scheme fp16", "can't read nope.onnx: No such file"),
        ("run nope.edge --input -", "can't read nope.edge: No such file or directory"),
        # a column
        *(
            (f"{verb} {{folder}}/a.toml -o {{folder}}/out --set {key}={value}", f"no column {name}")
            for verb in ("train", "compare")
            for key, value, name in (
                ("data.channels", """'["a", "bb"]'""", "'bb' (channels in [data]); did you mean"),
                ("model.targets", """'["z"]'""", "'z' (targets in [model]); the columns are g, a"),
                ("data.group", "h", "'h' (group in [data])"),
            )
        ),
        # a key, a value
        (
            SET + "model.hiden_size=3",
            "has no key 'hiden_size'; did you mean 'hidden_size'?",
        ),
        (SET + "train.optimizer=adan", "expected 'adamw' or 'adam'; did you mean 'adam'?"),
        (SET + "train.weight_decay=inf", "[train] weight_decay = inf: expected a finite number"),
        (SET + "train.warmup=nan", "[train] warmup = nan: expected a finite number"),
        (SET + "model.hidden_size=100000000", "hidden_size = 100000000: layer 'lstm0': units is"),
        ("train recipe:activty -o x", "there is no such recipe; did you mean 'activity'?"),
        (
            "train recipe:activity -o {folder}/out --set data.name=BasicMotion",
            "aeon ships no data set 'BasicMotion'; did you mean 'BasicMotions'?",
        ),
        # a target, a scheme, an option, a verb
        ("export {folder}/run --target esp32 -o x.edge", "c (c: C source for any other board"),
        ("export {folder}/run --target rk3558 -o x.edge", "did you mean 'rk3588'?"),
        ("export {folder}/run --scheme fp15 -o x.edge", "did you mean 'fp16'?"),
        ("export {folder}/run --target c --scheme int4 -o x", "scheme 'int4' is not offered for"),
        ("export {folder}/run --chunk 1 -o x.edge", "chunk is 1; expected a whole number from 2"),
        ("targets ''", "there is no target ''; known: ethos-u55-32"),
        ("targets rk3558", "there is no target 'rk3558'; did you mean 'rk3588'? known: ethos"),
        ("trian x", "there is no 'trian'; did you mean 'train'? expected one of "),
        ("run x.edge --inptu -", "the following arguments are required: --input"),
        ("info x.edge --jsn", "unrecognized arguments: --jsn; did you mean '--json'?; see"),
        ("train x -o y --device gpu", "there is no 'gpu'; did you mean 'cpu'? expected one of"),
        # another thing than the one expected
        (
            "inspect {folder}/a.edge",
            "is a bundle, NAME.edge; expected the folder of a training run; give the run that it "
            "was made from; for a bundle: edge-lstm info {quoted}/a.edge'",
        ),
        ("train {folder}/a.edge -o x", "is a bundle, NAME.edge; expected a configuration, NAME.t"),
        (
            "check {folder}/run",
            "is the folder of a training run; expected a bundle, NAME.edge; make one: "
            "edge-lstm export {quoted}/run' -o run.edge",
        ),
        (
            "run {folder}/a.toml --input -",
            "is a configuration, NAME.toml; expected a bundle, NAME.edge; first train: edge-lstm "
            "train {quoted}/a.toml' -o RUN",
        ),
        (
            "info {folder}/a.onnx",
            "is an ONNX graph; expected a bundle, NAME.edge; first: edge-lstm import "
            "{quoted}/a.onnx' -o a.edge",
        ),
        *(
            (f"{words} {{folder}}/nets/a.pt2 {rest}", "first: edge-lstm import {quoted}/nets/a.pt2")
            for words, rest in (
                ("run", "--input -"),
                ("export", "-o x.edge"),
                ("lint", "--target rk3588 --scheme fp16"),
            )
        ),
        ("info {folder}/run/best.pt", "is a checkpoint; expected a bundle, NAME.edge; its run is"),
        ("export {folder}/searched -o x.edge", "its chosen run is {folder}/searched/chosen-003"),
        ("export {folder}/begun -o x.edge", "is the folder of a search; expected the folder of a"),
        ("export {folder}/compared -o x.edge", "is the folder of a comparison; expected the fold"),
        ("export {folder}/a.toml -o x.edge", "is a configuration, NAME.toml; expected the folder"),
        ("lint {folder}/run --target rk3588 --scheme fp16", "is the folder of a training run; exp"),
        ("deploy {folder}/run a --to x", "is the folder of a training run; expected a bundle"),
        ("deploy {folder}/a.edge a", "nothing says which folder on the board the bundle goes to"),
        ("fleet status --inventory {folder}/a.csv", "a.csv: not valid TOML: "),
        ("train {folder}/run -o x", "its configuration is {folder}/run/config.toml"),
    ],
)
def test_before_the_heavy_imports(arguments: str, answer: str, folder: Path) -> None:
    quoted = shlex.quote(str(folder)).removesuffix("'")
    words = [word.replace("{folder}", str(folder)) for word in shlex.split(arguments)]
    done = subprocess.run(
        [sys.executable, "-c", CHECK, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(),
        cwd=folder,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert answer.replace("{folder}", str(folder)).replace("{quoted}", quoted) in done.stderr
    needed = {"lint": "onnx", "import": "onnx onnxruntime"}.get(words[0], "")  # it is about them
    assert done.stdout == f"{needed}\n", "imported"
    assert not (folder / "out").exists()
    assert not (folder / "new").exists()
