"""Transforms and the calendar in C: features beside NumPy's and Python's own calendar."""

from __future__ import annotations

import calendar
import datetime
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray

import hatch_build
from edge_lstm_export import export_c
from edge_lstm_export.c.derived import PARTS
from edge_lstm_runtime import ModelSpec, load
from edge_lstm_runtime.inputs.calendar import PARTS as KNOWN_PARTS
from edge_lstm_runtime.inputs.channels import Channels
from edge_lstm_runtime.inputs.transforms import Calendar, Clip, Difference, Distance, Log
from edge_lstm_runtime.tasks.classify import Classify
from helpers.c_folder import STRICT, contents, golden_file, passed, run
from helpers.derived import (
    UTC,
    ZONES,
    Stream,
    day_number,
    derived_bundle,
    generated,
    seconds,
    write_derived,
    zone_rows,
)
from helpers.specs import chain
from helpers.tolerances import assert_close

pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None or shutil.which("make") is None,
    reason="gcc and make are not installed",
)
# A step for each record of the input, a first value that says whether to reset before it, and the
# sample. What comes out: the status, the features and the answer.
PROGRAM = r"""
#include <stdio.h>
#include "src/model.c"
int main(void) {
    double record[1 + MODEL_CHANNELS];
    float answer[MODEL_OUTPUTS] = {0};
    if (model_init() != EL_OK) return 1;
    while (fread(record, sizeof record, 1, stdin) == 1) {
        if (record[0] > 0.0) model_reset();
        const float status = (float)model_step(record + 1, answer);
        fwrite(&status, sizeof status, 1, stdout);
        fwrite(model_features, sizeof model_features, 1, stdout);
        fwrite(answer, sizeof answer, 1, stdout);
    }
    return 0;
}
"""
NOT_FINITE = 5
Float64 = NDArray[np.float64]


class InC(NamedTuple):
    status: NDArray[np.float32]  # (steps,)
    features: NDArray[np.float32]  # (steps, F)
    answers: NDArray[np.float32]  # (steps, O)


class Programs:
    """Builds an exported folder's model.c into a program, with the kernel compiled once.

    compiler, emulator: commands, the latter for programs of another CPU.
    """

    def __init__(self, folder: Path, compiler: str = "gcc", emulator: str = ""):
        self._folder = folder
        self._compiler = compiler
        self._emulator = emulator
        self._objects = []
        for source in (*hatch_build.sources(), hatch_build.NATIVE / "transforms.c"):
            self._objects.append(folder / f"{source.stem}.o")
            flags = f"-std=c99 -O2 -DEL_GROUP=1u {STRICT}".split()
            done = run(compiler, *flags, "-c", source, "-o", self._objects[-1])
            assert done.returncode == 0, done.stderr

    def run(self, made: Path, x: Float64, resets: Sequence[int] = ()) -> InC:
        """x: (steps, C) raw units. resets: the steps before which the stream is reset."""
        spec = ModelSpec.from_dict(json.loads((made / "model.json").read_text())["spec"])
        (made / "use.c").write_text(PROGRAM)
        records = np.zeros((len(x), 1 + x.shape[1]))
        records[list(resets), 0] = 1
        records[:, 1:] = x
        records.tofile(self._folder / "in")
        program = self._folder / "use"
        flags = f"-std=gnu99 -O1 {STRICT} -I {made}".split()
        own: list[str | Path] = [made / "use.c", *self._objects, "-lm", "-o", program]
        done = run(self._compiler, *flags, *own)
        assert done.returncode == 0, done.stderr
        (made / "use.c").unlink()
        line = f"{self._emulator} {program} < {self._folder}/in > {self._folder}/out"
        assert run("sh", "-c", line).returncode == 0
        width = 1 + spec.inputs.feature_size + spec.output_size
        rows = np.fromfile(self._folder / "out", np.float32).reshape(len(x), width)
        return InC(rows[:, 0], rows[:, 1 : -spec.output_size], rows[:, -spec.output_size :])


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return Programs(tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return derived_bundle(tmp_path_factory.mktemp("derived") / "derived.edge")


@pytest.fixture(scope="module")
def exported(everything: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = export_c(everything, tmp_path_factory.mktemp("c") / "derived")
    assert "largest error" in done.built.verdict
    return done.folder


@pytest.fixture(scope="module")
def built(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(exported, tmp_path_factory.mktemp("built") / "derived")
    passed(run("make", "test", cwd=folder))
    return folder


@pytest.fixture
def made(exported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported, tmp_path / "derived")


def model_of(inputs: Channels) -> ModelSpec:
    return ModelSpec(inputs, chain(inputs.feature_size, 5, 1, 2), Classify(("yes", "no")))


def exported_to(folder: Path, spec: ModelSpec, x: Float64) -> Path:
    return export_c(write_derived(folder / "model.edge", spec, x[:300]), folder / "model").folder


# --- features ---


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.usefixtures("unbuilt")
def test_features_and_answers_are_those_of_numpy(
    seed: int, programs: Programs, tmp_path: Path
) -> None:
    stream = generated(seed, 5000)
    made = exported_to(tmp_path, stream.spec, stream.x)
    check(stream, programs.run(made, stream.x), tmp_path / "model.edge")


@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["aarch64-linux-gnu", "arm-linux-gnueabihf"])
@pytest.mark.usefixtures("unbuilt")
def test_features_and_answers_on_other_cpus(cpu: str, tmp_path: Path) -> None:
    """They round elsewhere: with products and sums in one, and by functions of their own."""
    emulator = {"aarch64-linux-gnu": "qemu-aarch64-static"}.get(cpu, "qemu-arm-static")
    for program in (f"{cpu}-gcc", emulator):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    programs = Programs(tmp_path, f"{cpu}-gcc", f"{emulator} -L /usr/{cpu}")
    for seed in range(4):
        stream = generated(seed, 5000)
        (tmp_path / str(seed)).mkdir()
        made = exported_to(tmp_path / str(seed), stream.spec, stream.x)
        check(stream, programs.run(made, stream.x), tmp_path / str(seed) / "model.edge")


def check(stream: Stream, found: InC, bundle: Path) -> None:
    """As NumPy and the float64 reference have it."""
    assert not found.status.any()
    features, _ = stream.spec.inputs.features(stream.x)
    assert 1 < np.abs(features).max() < 32  # float32 rounds 32 by 1e-6
    assert_close(found.features, features, "features in C", "features")
    with load(bundle).session("reference") as session:
        expected = session.run(stream.x)
    scaling = stream.spec.answer.scaling(stream.spec.inputs)
    unit = 1.0 if scaling is None else scaling.scale
    error = np.abs(found.answers - expected)
    if scaling is not None and scaling.units is not None:
        unit = unit * np.where(scaling.units > 0, scaling.units + expected, 1)
    assert (error <= 1e-5 * unit + 6e-8 * np.abs(expected)).all(), (error / unit).max()


@pytest.mark.usefixtures("unbuilt")
def test_looking_back_is_what_the_names_say(programs: Programs, tmp_path: Path) -> None:
    """Against the definitions, over slices of the whole stream."""
    rng = np.random.default_rng(1)
    n = 400
    x = np.stack([rng.normal(101325, 100, n), rng.exponential(3.0, n), 60 * np.arange(n)], axis=1)
    transforms = (
        Distance(("p",), (0.0,), (100.0,), seconds=900.0, clock="t"),
        Clip(("p",), (101200.0,), (101500.0,)),
        Difference(("r", "p"), (0.5, 10.0), (2.0, 50.0), lag=7),
        Log(("r",), (2.0,)),
        Distance(("p", "r"), (0.0, 0.0), (100.0, 1.0), steps=50),
    )
    inputs = Channels(
        ("p", "r", "t"), (101300.0, 1.0, 0.0), (90.0, 0.5, 1e4), transforms=transforms, drop=("t",)
    )
    found = programs.run(exported_to(tmp_path, model_of(inputs), x), x).features
    p = np.minimum(np.maximum(x[:, 0], 101200), 101500)
    r = np.log(1 + x[:, 1] / 2)
    mean = [p[0]]
    for value in p[1:]:
        mean.append(mean[-1] * np.exp(-60 / 900) + value * (1 - np.exp(-60 / 900)))
    last = [slice(max(0, k - 49), k + 1) for k in range(n)]
    columns = {
        "p": (p - 101300) / 90,
        "r": (r - 1) / 0.5,
        "p, time": (p - mean) / 100,
        "r, lag": (np.where(np.arange(n) < 7, 0, r - np.roll(r, 7)) - 0.5) / 2,
        "p, lag": (np.where(np.arange(n) < 7, 0, p - np.roll(p, 7)) - 10) / 50,
        "p, mean": (p - [p[rows].mean() for rows in last]) / 100,
        "r, mean": r - [r[rows].mean() for rows in last],
    }
    for k, (name, expected) in enumerate(columns.items()):
        assert_close(found[:, k], expected, "features in C", name)


def local_times(moments: Float64, zone: str) -> list[datetime.datetime]:
    start = datetime.datetime(1970, 1, 1, tzinfo=UTC)
    days = [start + datetime.timedelta(seconds=float(t)) for t in moments]
    return [day.astimezone(ZoneInfo(zone)) for day in days]


def by_datetime(local: datetime.datetime, holidays: set[datetime.date]) -> list[float]:
    second = local.hour * 3600 + local.minute * 60 + local.second + local.microsecond / 1e6
    share = second / 86400
    year = 366 if calendar.isleap(local.year) else 365
    week = (local.weekday() + share) / 7
    turns = [share, week, (local.timetuple().tm_yday - 1 + share) / year]
    waves = [f(2 * np.pi * turn) for turn in turns for f in (np.sin, np.cos)]
    return [*map(float, waves), float(local.date() in holidays)]


def moments(first: int, last: int) -> Float64:
    """Around new years, leap days and changes of the clock, and at random."""
    rng = np.random.default_rng(2)
    edges = [
        seconds(year, month, day) + hour * 3600 + offset
        for year in range(first, last)
        for month, day in ((1, 1), (2, 28), (3, 1), (3, 10), (11, 3), (12, 31))
        for hour in (0, 7)
        for offset in (-1.0, 0.0, 0.25)
    ]
    chance = rng.uniform(seconds(first, 1, 2), seconds(last, 12, 30), 3000)
    return np.array([*edges, *np.round(chance, 3)])


@pytest.mark.parametrize("zone", [*ZONES, "UTC"])
@pytest.mark.usefixtures("unbuilt")
def test_calendar_is_that_of_python(zone: str, programs: Programs, tmp_path: Path) -> None:
    """In UTC over centuries that are leap years and that are none."""
    first, last = (1980, 2035) if zone != "UTC" else (1600, 2401)
    rows = zone_rows(zone, first - 1, last + 1) if zone != "UTC" else ()
    assert len(rows) > 100 or zone in ("UTC", "Asia/Kolkata", "Pacific/Apia")
    holidays = {
        datetime.date(year, month, day)
        for year in range(first, last + 1)
        for month, day in ((1, 1), (3, 10), (12, 31))
    }
    ahead = (0, 5400, -86400 * 30.5)
    parts = ("hour", "weekday", "yearday", "holiday")
    days = tuple(sorted(map(day_number, holidays)))
    transform = Calendar("t", parts, ahead, rows, days)
    # A calendar alone: no level, no memory.
    inputs = Channels(("t",), (0.0,), (1e9,), transforms=(transform,), drop=("t",))
    times = moments(first, last)
    found = programs.run(exported_to(tmp_path, model_of(inputs), times[:, None]), times[:, None])
    assert not found.status.any()
    expected = [
        [by_datetime(local, holidays) for local in local_times(times + after, zone)]
        for after in ahead
    ]
    assert_close(found.features, np.concatenate(expected, axis=1), "features in C", zone)


@pytest.mark.usefixtures("unbuilt")
def test_before_the_first_row_of_a_zone_its_offset_holds(
    programs: Programs, tmp_path: Path
) -> None:
    transform = Calendar("t", ("hour",), zone=((1000, 21600), (2000, 0), (3000, -21600)))
    inputs = Channels(("t",), (0.0,), (1.0,), transforms=(transform,), drop=("t",))
    x = np.array([-86400.0, 0, 999, 1999.5, 2000, 2999, 3000, 86400.0])[:, None]
    hours = (x[:, 0] + [21600, 21600, 21600, 21600, 0, 0, -21600, -21600]) / 86400
    expected = np.stack([np.sin(2 * np.pi * hours), np.cos(2 * np.pi * hours)], axis=1)
    found = programs.run(exported_to(tmp_path, model_of(inputs), x), x).features
    assert_close(found, expected, "features in C", "hour")


def test_every_part_of_a_calendar_is_known_here() -> None:
    assert list(PARTS) == list(KNOWN_PARTS)


# --- the stream ---


def bad_samples(spec: ModelSpec) -> list[tuple[str, float]]:
    """(channel, value) that the model refuses."""
    inputs = spec.inputs
    assert isinstance(inputs, Channels)
    plain = next(c for c in inputs.channels if c not in inputs.log_units and c != inputs.clock)
    bad = [(plain, np.inf), (plain, -np.inf), (plain, 1e35)]
    if inputs.missing == "refuse":
        bad.append((plain, np.nan))
    bad += [(name, value) for name in inputs.log_units for value in (-1e-9, np.inf)]
    if inputs.clock:
        bad += [(inputs.clock, value) for value in (np.nan, np.inf, 1.7e12)]
    return bad


@pytest.mark.parametrize("seed", [0, 1, 2, 9])
@pytest.mark.usefixtures("unbuilt")
def test_a_refused_sample_changes_nothing_and_a_reset_forgets_all(
    seed: int, programs: Programs, tmp_path: Path
) -> None:
    stream = generated(seed, 1200)
    made = exported_to(tmp_path, stream.spec, stream.x)
    bad = bad_samples(stream.spec)
    assert len(bad) > 5
    good = stream.x[:400]
    mixed = np.repeat(good, 2, axis=0)  # each sample, with a bad one before it
    for k in range(len(good)):
        name, value = bad[k % len(bad)]
        mixed[2 * k, stream.spec.inputs.names.index(name)] = value
    alone = programs.run(made, good)
    found = programs.run(made, mixed)
    assert (found.status[::2] == NOT_FINITE).all()
    assert not found.status[1::2].any()
    np.testing.assert_array_equal(found.features[1::2], alone.features)
    np.testing.assert_array_equal(found.answers[1::2], alone.answers)
    twice = programs.run(made, np.concatenate([stream.x, good]), resets=[len(stream.x)])
    np.testing.assert_array_equal(twice.features[-len(good) :], alone.features)
    np.testing.assert_array_equal(twice.answers[-len(good) :], alone.answers)


# --- the exported folder ---


@pytest.mark.parametrize("flags", ["-O2", "-O0 -g -fsanitize=address,undefined"])
def test_the_folder_builds_and_passes(flags: str, made: Path) -> None:
    checked = "-fno-sanitize-recover=all" if "sanitize" in flags else STRICT
    passed(run("make", f"CFLAGS={flags} {checked}", "test", cwd=made))
    golden = golden_file(made).read_text()
    assert "GOLDEN_STEPS 368" in golden  # 168 more than usual: those of the longest memory
    assert "NAN" in golden


@pytest.mark.slow
def test_clang_and_cmake_build_it(made: Path, tmp_path: Path) -> None:
    if shutil.which("clang") is None or shutil.which("cmake") is None:
        pytest.skip("clang or cmake is not installed")
    flags = "CFLAGS=-O2 -Wall -Wextra -Wconversion -Werror"
    passed(run("make", "CC=clang", flags, "BUILD=build/clang", "test", cwd=made))
    (tmp_path / "app.c").write_text(
        '#include "model.h"\n'
        "int main(void) {\n"
        "    const double x[] = {101325.0, 1.7e9, 5.0}; float y[MODEL_OUTPUTS];\n"
        "    return model_init() != EL_OK || model_step(x, y) != EL_OK;\n}\n"
    )
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.10)\nproject(app C)\nadd_subdirectory(derived)\n"
        "add_executable(app app.c)\ntarget_link_libraries(app edge_lstm_model)\n"
    )
    for command in (
        ("cmake", "-S", tmp_path, "-B", tmp_path / "own"),
        ("cmake", "--build", tmp_path / "own"),
        (tmp_path / "own" / "app",),
    ):
        done = run(*command)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (".steps = 24}", ".steps = 23}"),
        (".steps = 168}", ".steps = 167}"),
        (".seconds = 72000.0", ".seconds = 72500.0"),
        ("EL_YEARDAY, EL_HOLIDAY,", "EL_HOLIDAY, EL_YEARDAY,"),
        ("{0.0, 5400.0}", "{0.0, 5000.0}"),
        ("-14400, ", "-18000, "),  # New York in summer
        ("{19782, 19787}", "{19782, 19786}"),
        ("101150.0", "101100.0"),
        ("EL_ALL);\n    el_forget(&model_inputs, &model_stream);", "EL_ALL);"),
        ("{40.0, 0.0, 40.0", "{41.0, 0.0, 40.0"),
        ("log_unit[3] = {0.0, 0.0, 40.0}", "log_unit[3] = {0.0, 0.0, 40.1}"),
    ],
)
@pytest.mark.usefixtures("unbuilt")
def test_the_self_test_notices_a_wrong_table(
    right: str, wrong: str, built: Path, tmp_path: Path
) -> None:
    made = shutil.copytree(built, tmp_path / "wrong")
    text = (made / "src" / "model.c").read_text()
    assert text.count(right) == 1
    (made / "src" / "model.c").write_text(text.replace(right, wrong))
    done = run("make", "test", cwd=made)
    assert "FAIL" in done.stdout.splitlines(), done.stdout
    assert done.returncode != 0


def test_memory_tables_and_what_it_takes_from_outside(made: Path) -> None:
    assert run("make", "build/libmodel.a", cwd=made).returncode == 0
    sections = run("size", "-A", "build/libmodel.a", cwd=made).stdout
    bss = sum(map(int, re.findall(r"^\.bss\S* +(\d+)", sections, re.MULTILINE)))
    data = sum(map(int, re.findall(r"^\.data(?!\.rel\.ro)\S* +(\d+)", sections, re.MULTILINE)))
    facts = json.loads((made / "model.json").read_text())["bytes"]
    assert bss == facts["ram"]
    assert data == 0, "constants that don't lie in flash"
    text = (
        (made / "src" / "model.c").read_text().split("Of transforms.h")[1].split("el_calendar")[0]
    )
    tables = re.findall(r"^static const (\w+) \w+\[(\d+)\]", text, re.MULTILINE)
    sizes = {"double": 8, "uint32_t": 4, "int32_t": 4, "uint8_t": 1}
    assert facts["flash_transforms"] == sum(sizes[kind] * int(n) for kind, n in tables) > 0
    symbols = run("nm", "-u", "build/libmodel.a", cwd=made).stdout
    undefined = set(re.findall(r"^ +U (\w+)$", symbols, re.MULTILINE))
    outside = {name for name in undefined if not name.startswith(("el_", "_GLOBAL_"))}
    mathematics = {"log1p", "expm1", "floor", "sin", "cos", "sincos"}
    assert outside <= mathematics | {"memcpy", "memmove", "memset", "strcmp", "__stack_chk_fail"}


@pytest.mark.usefixtures("unbuilt")
def test_other_models_have_no_transforms(mask: Path, tmp_path: Path) -> None:
    files = contents(export_c(mask, tmp_path / "mask").folder)
    assert not any(b"transform" in content for content in files.values())
    assert not any("transforms" in name for name in files)
