"""The house: imports go one way, runtime <- edge_lstm <- export, and in no circle.

An import inside a function is of a library that is heavy or may be missing.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from edge_lstm.tasks import TASKS
from edge_lstm_export.npu.targets import targets
from edge_lstm_export.npu.vendor import VENDORS
from edge_lstm_runtime.layers import LAYERS
from helpers.imports import brought, circles, graph, imports, modules
from helpers.longest import LONGEST
from helpers.paths import ROOT

PACKAGES = {
    "edge_lstm_runtime": ROOT / "deploy",
    "edge_lstm": ROOT,
    "edge_lstm_export": ROOT / "export",
}
FORBIDDEN = {
    "edge_lstm_runtime": {"edge_lstm", "edge_lstm_export"},
    "edge_lstm": {"edge_lstm_export"},
    "edge_lstm_export": set[str](),
}
# What the runtime may use if it is installed, and only inside the function that needs it.
OPTIONAL = {"onnxruntime", "rknnlite", "ai_edge_litert", "tflite_runtime", "paho"}

# What may be imported inside a function, and why.
LATE = {
    "torch": "heavy: an export or a command that needs no net does without",
    "lightning_fabric": "imports torch",
    "matplotlib": "heavy: only figures need it",
    "onnx": "heavy: only graphs need it",
    "onnxsim": "heavy: it imports torch",
    "polars": "heavy: only tables need it",
    "sklearn": "heavy: only comparisons need it",
    "holidays": "heavy: only a calendar with holidays needs it",
    "statsmodels": "heavy: one baseline needs it",
    "threadpoolctl": "comes with sklearn, for the same baselines",
    "aeon": "heavy: only its data sets need it",
    "keras": "heavy, and optional: a net of Keras alone needs it",
    "h5py": "optional: comes with Keras",
    "ai_edge_litert": "optional: a net of TFLite, and an NPU of Arm, alone need it",
    "tflite_runtime": "the same, by its older name",
    "flatbuffers": "optional: comes with LiteRT",
    "mlflow": "optional, and heavy: a training that is tracked there alone needs it",
    "pytorch_lightning": "optional, and heavy: the same",
    "onnxruntime": "heavy, and optional in the runtime",
    "rknnlite": "optional: on a board with an NPU alone",
    "paho": "optional: a service on a message bus alone needs it",
    "tqdm": "optional: a bar on a terminal alone",
    "uv": "optional: another one may be on the path",
    "fcntl": "not on every system",
    "importlib": "slow to load: metadata of packages, for a plug-in or an error alone",
    "difflib": "at an error alone: a board takes a while to load it",
    "tempfile": "slow to load: a board that writes no file does without",
    "csv": "slow to load: a board reads a quoted cell alone with it",
    "gzip": "slow to load: a board that reads no packed file does without",
    "hashlib": "slow to load, OpenSSL: small files do without",
    "logging": "slow to load: a board without a warning does without",
    "zipfile": "slow to load: a board that writes no bundle does without",
    "ctypes": "slow to load: a library that prints, or a delegate of LiteRT, alone needs it",
    "pty": "not on every system",
    "termios": "not on every system",
}
# Modules of ours that may be imported late though they bring no heavy library, and why.
LATE_OF_OURS = {
    "edge_lstm_runtime.trust.check": "verifies a signature: a board without --trusted does without",
    "edge_lstm_runtime.trust.versions": "the same, without --remember",
    "edge_lstm_export.npu.ethos_u.compiled": "a session on a desktop asks its backend for facts",
}
# Libraries that take long to load. A module of ours may be imported late if it brings one of them.
HEAVY = {name for name, why in LATE.items() if why.startswith("heavy")} | {"numpy", "pydantic"}
# Files outside of the rooms `tasks` that have the name of a task in a text, and why.
NAMES_A_TASK = {
    "edge_lstm_runtime.model.format1": "reads bundles of format 1, which has these tasks alone",
    "edge_lstm_runtime.feeds.lines": "a key of an answer in JSON, `anomaly`",
    "edge_lstm_runtime.serve.stream": "the same",
    "edge_lstm.results.alarms": "a key of metrics.json, `anomaly`",
}
# Files outside of the rooms `layers` that have the name of a layer type in a text, and why.
NAMES_A_LAYER = {
    "edge_lstm_runtime.model.format1": "reads bundles of format 1, which has these layers alone",
    "edge_lstm_runtime.backends.rknn.packing": "a form of a converted model in manifests, `lstm`",
    "edge_lstm_export.graphs.npu": "writes that form",
    "edge_lstm_export.importers.keras.nodes": "`softmax`, a function of Keras",
    "edge_lstm_export.importers.torch.pointwise": "operators of PyTorch that have the same names",
    "edge_lstm_export.importers.torch.recurrent": "the same",
    "edge_lstm_export.importers.torch.walk": "the same",
    "edge_lstm_export.importers.audio": "the types in the files of other tools",
    "edge_lstm_export.importers._torch_layers": "the same",
    "edge_lstm_export.importers.keras.config": "the names of layers in a file of weights",
    "edge_lstm_export.npu.rknn.targets": "the vendor's operator, as a key of JSON",
    "edge_lstm.config.sections": "the default of `type`, and the head, which is dense",
    "edge_lstm.api.estimators": "the default of `cell`, in a signature for people",
    "edge_lstm.tasks.classify": "`bidirectional` is short for a layer that reads both ways",
    "edge_lstm.tasks.anomaly": "the row of the comparison that is the trained model",
    "edge_lstm.compare.comparison": "the rows of the comparison that are recurrent networks",
    "edge_lstm.compare.recurrent": "makes these rows",
    "edge_lstm.compare.detectors": "the folder of the row that is the trained model",
    "edge_lstm.compare.table": "the row that is the trained model has another colour",
}
# Files outside of the rooms `npu` that have the name of a vendor or target in a text, and why.
NAMES_A_VENDOR = {
    "edge_lstm_runtime.backends.rknn.board": "the kind of artifact that it runs, and its name",
    "edge_lstm_runtime.backends.ethosu.board": "the target that a board's chip is",
    "edge_lstm_export.cli.demo": "the target of the demo",
}
# Layer types whose names have other meanings: an answer's scale, a vector for each character.
WORDS = {"scale", "embedding"}
# The circles that are still there. The list only shrinks.
STILL_CIRCLES: set[tuple[str, ...]] = set()


def files(package: str) -> dict[str, Path]:
    found = modules({package: PACKAGES[package]})
    assert len(found) > 5, f"where is {package}?"
    return found


def top(name: str) -> str:
    return name.split(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package: str) -> None:
    wrong = [
        f"{path}:{found.line} imports {found.name}"
        for module, path in files(package).items()
        for found in imports(module, path)
        if top(found.name) in FORBIDDEN[package]
    ]
    assert not wrong, "\n".join(wrong)


def test_the_runtime_imports_numpy_and_the_standard_library() -> None:
    allowed = set(sys.stdlib_module_names) | {"numpy", "edge_lstm_runtime"}
    wrong = []
    for module, path in files("edge_lstm_runtime").items():
        for found in imports(module, path):
            if top(found.name) not in allowed and not (
                found.inside and top(found.name) in OPTIONAL
            ):
                wrong.append(
                    f"{path}:{found.line} imports "
                    f"{found.name}{'' if found.inside else ' at the top'}"
                )
    assert not wrong, "\n".join(wrong)


def test_relative_imports_stay_inside_their_package() -> None:
    for package in PACKAGES:
        for module, path in files(package).items():
            list(imports(module, path))  # AssertionError for one that leaves


def test_no_package_at_the_folders_of_the_layout() -> None:
    for folder in ("export", "deploy"):
        assert not (ROOT / folder / "__init__.py").exists(), f"{folder}/ is a folder, not a package"


def test_the_longest_test_files_are_there() -> None:
    assert all(path.exists() for path in LONGEST), LONGEST


# --- circles ---


def test_no_imports_in_a_circle() -> None:
    found = set(circles(graph(PACKAGES)))
    assert not found - STILL_CIRCLES, "\n".join(
        f"these import each other: {', '.join(c)}" for c in sorted(found - STILL_CIRCLES)
    )
    assert not STILL_CIRCLES - found, (
        f"no circle any more, take it from STILL_CIRCLES: {STILL_CIRCLES - found}"
    )


def write(folder: Path, **sources: str) -> dict[str, Path]:
    """A package "p" with these modules: "a__b" is p/a/b.py."""
    for name, source in sources.items():
        path = folder / "p" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source + "\n")
        (path.parent / "__init__.py").touch()
    return {"p": folder}


@pytest.mark.parametrize(
    "back",
    [
        "from p import a",
        "import p.a",
        "from .. import a",
        "from ..a import f",
        "def f():\n    from .. import a",
    ],
)
def test_a_circle_is_found(tmp_path: Path, back: str) -> None:
    """a -> b -> deep.c -> a, whatever the last import looks like. d and e are in no circle."""
    packages = write(
        tmp_path,
        a="from . import b",
        b="from .deep import c",
        deep__c=back,
        d="from . import a",
        e="",
        deep__f="from .. import e",
    )
    assert circles(graph(packages)) == [("p.a", "p.b", "p.deep.c")]


def test_two_circles_are_two_and_a_tree_is_none(tmp_path: Path) -> None:
    two = write(
        tmp_path / "two",
        a="from .b import x",
        b="from .a import y",
        c="from . import d, a",
        d="if True:\n    import p.c",
    )
    assert circles(graph(two)) == [("p.a", "p.b"), ("p.c", "p.d")]
    tree = write(tmp_path / "tree", a="from . import b, c", b="from . import c", c="import sys")
    assert graph(tree) == {"p": set(), "p.a": {"p.b", "p.c"}, "p.b": {"p.c"}, "p.c": set()}
    assert circles(graph(tree)) == []


def test_a_relative_import_that_leaves_its_package_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"a\.py:1 leaves its package"):
        graph(write(tmp_path, a="from .. import b"))


# --- late imports ---


def late(packages: dict[str, Path]) -> dict[str, list[str]]:
    """Module -> what it imports inside a function without a reason in LATE, or a heavy library that
    a module of ours brings and that the file itself doesn't import at its top."""
    found = {}
    libraries = brought(packages)
    files = modules(packages)
    for module, path in files.items():
        names = []
        for i in imports(module, path):
            ours = i.name if i.name in files else i.name.rpartition(".")[0]
            brings = libraries.get(ours, set()) - libraries[module]
            known = top(i.name) in LATE or ours in LATE_OF_OURS
            if i.inside and not known and not brings & HEAVY:
                names.append(f"{i.name} (line {i.line})")
        if names:
            found[module] = names
    return found


def test_imports_inside_functions_are_of_heavy_and_optional_libraries() -> None:
    found = late(PACKAGES)
    assert not found, "\n".join(
        f"{module} imports inside a function {', '.join(names)}" for module, names in found.items()
    )
    used = {
        top(i.name)
        for module, path in modules(PACKAGES).items()
        for i in imports(module, path)
        if i.inside
    }
    assert not LATE.keys() - used, (
        f"nothing imports them late, take them from LATE: {LATE.keys() - used}"
    )


A_CLASS = """
class C:
    def f(self):
        import torch.nn
        return [lambda: 1]
    async def g(self):
        from . import b
"""


def test_an_import_inside_a_function_is_found(tmp_path: Path) -> None:
    packages = write(tmp_path, a=A_CLASS, b="import json\nif json:\n    from . import c", c="")
    assert late(packages) == {"p.a": ["p.b (line 7)"]}


# --- names ---


def texts(path: Path) -> Iterator[ast.Constant]:
    """The strings of a file, but for its docstrings."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    loose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in loose:
            yield node


def naming(packages: dict[str, Path], names: Collection[str], room: str) -> dict[str, list[str]]:
    """Module -> the strings outside of rooms that are one of these names, or have it in quotes."""
    found: dict[str, list[str]] = {}
    for module, path in modules(packages).items():
        if room in path.parent.parts:
            continue
        for node in texts(path):
            text = str(node.value)
            if text in names or any(f"{q}{name}{q}" in text for name in names for q in "'\""):
                found.setdefault(module, []).append(f"{node.value!r} (line {node.lineno})")
    return found


@pytest.mark.parametrize(
    ("names", "room", "exceptions"),
    [
        (TASKS.names(), "tasks", NAMES_A_TASK),
        ({*LAYERS.names()} - WORDS, "layers", NAMES_A_LAYER),
        ([*VENDORS.names(), *targets()], "npu", NAMES_A_VENDOR),
    ],
    ids=["tasks", "layers", "npu"],
)
def test_nothing_is_named_outside_of_its_rooms(
    names: Collection[str], room: str, exceptions: dict[str, str]
) -> None:
    assert len(names) >= 5, names
    found = naming(PACKAGES, names, room)
    new = {module: where for module, where in found.items() if module not in exceptions}
    assert not new, "\n".join(f"{module} has {', '.join(where)}" for module, where in new.items())
    clean = exceptions.keys() - found.keys()
    assert not clean, f"clean now, take them from the exceptions: {sorted(clean)}"


def test_a_name_is_found(tmp_path: Path) -> None:
    packages = write(
        tmp_path,
        a='"""Of "toy"."""\nx = y.task == "toy"',
        b="raise ValueError(f\"only task 'toy' has {x}\")",
        c='toy = "a toy"\ndef f():\n    """toy"""\n',
        tasks__toy='NAME = "toy"',
    )
    assert naming(packages, ["toy"], "tasks") == {
        "p.a": ["'toy' (line 2)"],
        "p.b": ["\"only task 'toy' has \" (line 1)"],
    }


def test_a_module_that_brings_a_heavy_library_may_be_imported_late(tmp_path: Path) -> None:
    packages = write(
        tmp_path,
        a="def f():\n    from . import b, c, d",
        b="from . import e",
        c="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch",
        d="def f():\n    import torch",
        e="import torch",
    )
    assert late(packages) == {"p.a": ["p.c (line 2)", "p.d (line 2)"]}
