"""A file of torch.export, made harmless before torch reads it.

torch 2.13 stores the graph and the list of weights as JSON, and plain weights as raw bytes. Its
reader still runs what a hostile file wants, in five places:

1. It unpickles the example inputs, with `weights_only=False` if the safe way fails.
2. It unpickles weights and constants that are marked `use_pickle`, custom objects, and the
   whole-archive weights of older files.
3. It loads libraries below data/aotinductor.
4. It gives sizes that are expressions to `sympy.sympify`, which evaluates them.
5. It imports modules that the JSON of an input's or output's structure names.

`cleaned` copies what an LSTM needs into a new archive in memory. It leaves out 1 and 3 and refuses
the rest.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from edge_lstm_runtime.errors import ConversionError

LARGEST = 1 << 29  # bytes of all members
GRAPH = "models/model.json"
EXAMPLES = "data/sample_inputs/model.pt"
CONFIGS = (
    "data/weights/model_weights_config.json",
    "data/constants/model_constants_config.json",
)
PLAIN = ("weight_", "tensor_")  # files of raw bytes
# A size in sympy's words, of a batch that may vary. These alone can't do harm.
SIZE = r"((Add|Mul|Integer|Symbol|positive|nonnegative|integer|True)\b|'?[su]\d+'?|[-\d(),= ])+"
STRUCTURES = {"builtins.tuple", "builtins.list", "builtins.dict", None}
EXPORT = (
    "export the net in its own program: ep = torch.export.export(net.eval(), (example,)); "
    'torch.export.save(ep, "net.pt2"); then: edge-lstm import net.pt2'
)


def is_pickle(path: Path) -> str:
    """What kind of file with a pickle of PyTorch it is, or "". Nothing is unpickled."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist() if _whole(archive) else []
    except (zipfile.BadZipFile, OSError):
        with path.open("rb") as file:  # before PyTorch 1.6: a bare pickle
            return "a pickle of an old PyTorch" if file.read(1) == b"\x80" else ""
    if any(name.endswith("/constants.pkl") for name in names):
        return "a TorchScript program"
    if any(name.endswith("data.pkl") for name in names) and not exported(names):
        return "a pickle of PyTorch (a module, a checkpoint or a state_dict without its forward)"
    return ""


def _whole(archive: zipfile.ZipFile) -> bool:
    """False for a truncated archive, if what is found is the end of an archive inside of it."""
    return min((info.header_offset for info in archive.infolist()), default=0) == 0


def exported(names: list[str]) -> bool:
    """Whether a zip with these members is of torch.export."""
    return any(name.endswith("/" + GRAPH) for name in names)


def cleaned(path: Path) -> io.BytesIO:
    """The archive without pickles. Raises ConversionError for a damaged or an unsafe file."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(path, archive)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError) as e:
        raise ConversionError(
            f"{path}: is damaged, or no file of torch.export.save: {str(e).splitlines()[0]}"
        ) from e
    for name in (GRAPH, *CONFIGS):
        if name not in members:
            raise ConversionError(
                f"{path}: has no {name}: no net of torch.export.save, or of a PyTorch before 2.8; "
                + EXPORT
            )
    try:
        described = {name: json.loads(members[name]) for name in (GRAPH, *CONFIGS)}
        _check_graph(path, described[GRAPH])
        for name in CONFIGS:
            _check_payloads(path, described[name]["config"])
            for payload in described[name]["config"].values():
                stored = members[f"{PurePosixPath(name).parent}/{payload['path_name']}"]
                if not stored and all(size["as_int"] for size in payload["tensor_meta"]["sizes"]):
                    raise ConversionError(f"{path}: is damaged: {payload['path_name']} is empty")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
        raise ConversionError(f"{path}: is damaged: {type(e).__name__}: {e}") from e
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as archive:
        for name, data in (members | {EXAMPLES: b""}).items():
            archive.writestr(f"net/{name}", data)
    copy.seek(0)
    return copy


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, bytes]:
    """Of the archive's one folder, those that a net needs."""
    if not _whole(archive):
        raise zipfile.BadZipFile("its end is missing")
    if exported([*(infos := archive.NameToInfo)]) and len(infos) != len(archive.infolist()):
        raise ConversionError(f"{path}: has two members of one name")
    if sum(info.file_size for info in archive.infolist()) > LARGEST:
        raise ConversionError(f"{path}: is larger than {LARGEST >> 20} MiB, no compact net")
    found = {}
    for info in archive.infolist():
        name = "/".join(PurePosixPath(info.filename).parts[1:])
        wanted = name.startswith(("data/weights/", "data/constants/")) or name in (
            *(GRAPH, "archive_format", "archive_version", "byteorder", ".data/version"),
        )
        if wanted and not info.is_dir():
            found[name] = archive.read(info)
    return found


def _check_payloads(path: Path, config: dict[str, Any]) -> None:
    for name, payload in config.items():
        if payload["use_pickle"] or not payload["path_name"].startswith(PLAIN):
            raise ConversionError(
                f"{path}: {name!r} is pickled, which may run code when it is read; export the net "
                "with plain tensors alone"
            )


def _check_graph(path: Path, graph: dict[str, Any]) -> None:
    for key, value in _items(graph):
        if key == "expr_str" and not re.fullmatch(SIZE, value):
            raise ConversionError(
                f"{path}: has a size that is the expression {value[:40]!r}; export with fixed sizes"
            )
        if key == "target" and "." in value and not _is_plain_target(value):
            raise ConversionError(f"{path}: calls {value[:60]!r}, which is no operator of PyTorch")
        if key in ("in_spec", "out_spec") and value:
            for inner, kind in _items(json.loads(value)):
                if inner == "type" and kind not in STRUCTURES:
                    raise ConversionError(
                        f"{path}: takes or returns {str(kind)[:60]}, expected tensors, or tuples "
                        "of them"
                    )


def _is_plain_target(target: str) -> bool:
    """Of a node, or of a weight: "l.weight_ih_l0"."""
    if not target.startswith(("torch.", "math", "_operator")):
        return True
    return bool(re.fullmatch(r"torch\.ops(\.\w+){2,3}|_operator\.[a-z]\w*|torch\.sym_\w+", target))


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys with their values, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from _items(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _items(inner)
