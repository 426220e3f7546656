"""The text of every file of a C export."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from edge_lstm_runtime import AnomalyDetector, FrontEnd, __version__
from edge_lstm_runtime.inputs.characters import Characters
from edge_lstm_runtime.model.bundle import sha256
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.native import file_of
from edge_lstm_runtime.shown import counted
from edge_lstm_runtime.tasks import Scaling
from edge_lstm_runtime.verify.error import Tolerance

from .audio import sound_ram, sound_tables
from .block import c_network, pack, parameters_of, state_bytes
from .derived import derived_ram, derived_tables
from .folder import INFO
from .source import Source

KERNEL = ("edge_lstm.h", "edge_lstm.c", "tiles.h")
FRONT_END = ("front_end.h", "front_end.c")  # for models that take sound
TRANSFORMS = ("transforms.h", "transforms.c")  # for models with transforms or dropped channels
AS_THEY_ARE = (
    "Makefile",
    "cortex-m/Makefile",
    "cortex-m/start.c",
    "cortex-m/link.ld",
)
RENDERED = ("model.h", "model.c", "main.c", "golden.h", "README.md", "CMakeLists.txt")
FORMAT = 1


def render(
    source: Source, name: str, scheme: str, tolerance: Tolerance, accuracy: dict[str, Any]
) -> dict[str, bytes]:
    """Path in the folder -> content. The same inputs give the same bytes.

    accuracy: goes into model.json as it is.
    """
    spec = source.spec
    network = c_network(spec)
    block = pack(network, parameters_of(spec, source.weights, scheme, source.int8), scheme)
    words = [f"0x{word:08x}u" for word in np.frombuffer(block, "<u4").tolist()]
    types = sorted({file_of(layer.type) for layer in network.layers})
    derived = derived_tables(spec.inputs)
    scores = _scores(source)
    scaling = spec.answer.scaling(spec.inputs)
    logs = [] if scaling is None or scaling.units is None else scaling.units.tolist()
    sizes = {
        "model_bytes": len(block),
        "state_bytes": state_bytes(network, scheme),
        "ram": ram_bytes(source, scheme),
        "golden_bytes": 8
        * (source.samples.size + source.answers.size + spec.answer.size + len(logs) + len(scores)),
    }
    quantiles = None if scaling is None else scaling.quantiles
    front_end = _front_end(spec)
    facts = {
        "name": name,
        "title": f"a streaming {spec.answer.model}, {counted(spec.inputs.size, 'channel')} in, "
        f"{counted(spec.answer.size, 'value')} out, {scheme}",
        "version": __version__,
        "scheme": scheme,
        "inputs": spec.inputs,
        "network": spec.network,
        "answer": spec.answer,
        "curved": scaling is not None and (derived is not None or not scaling.linear),
        "quantiles": quantiles,
        "levels": quantiles.levels if quantiles else 1,
        "characters": isinstance(spec.inputs, Characters),
        "detector": spec.detector,
        "layer_types": types,
        "front_end": front_end,
        "frames": getattr(spec.inputs, "frames", None),
        "derived": derived,
        "missing": getattr(spec.inputs, "missing", "refuse"),
        "weights_sha256": sha256(write_npz(source.weights)),
        "steps": len(source.samples),
        **sizes,
    }
    templates = _environment()
    initial = np.concatenate([np.empty(0), *spec.network.initial_state().values()])
    residual = None if scaling is None else scaling.residual
    data = {
        "words": [", ".join(words[n : n + 10]) + "," for n in range(0, len(words), 10)],
        "scaling": scaling,
        "residual": [] if residual is None else residual.tolist(),
        "logs": logs,
        "watched": spec.answer.channels(spec.inputs) if spec.detector else [],
        "scores": scores,
        "samples": source.samples.tolist(),
        "answers": source.answers.tolist(),
        "unit": _unit(spec, scaling),
        "spread": float(source.outputs.std()) or 1.0,
        "limit": tolerance.limit,
        "reason": tolerance.reason,
        "initial": initial.astype(np.float32).tolist() if initial.any() else [],
        "sound": sound_tables(front_end) if front_end else None,
    }
    native = files("edge_lstm_runtime") / "native"
    kernel = (*KERNEL, *(f"{name}.c" for name in types), *(FRONT_END if front_end else ()))
    kernel += TRANSFORMS if derived else ()
    contents = {path: (native / path).read_bytes() for path in kernel}
    contents["layers.h"] = _list_of(types, (native / "layers.h").read_text("utf-8")).encode()
    contents |= {
        path: (files("edge_lstm_export") / "templates" / "c" / path).read_bytes()
        for path in AS_THEY_ARE
    }
    contents |= {
        path: templates.get_template(f"{path}.j2").render(facts, **data).encode("utf-8", "replace")
        for path in RENDERED
    }
    info = {
        "format": FORMAT,
        "made_by": f"edge-lstm {__version__}",
        **{key: facts[key] for key in ("name", "scheme", "weights_sha256")},
        "bytes": {
            "flash_model": sizes["model_bytes"],
            "ram": sizes["ram"],
            "flash_golden": sizes["golden_bytes"],
        }
        | ({"flash_front_end": data["sound"]["bytes"]} if data["sound"] else {})
        | ({"flash_transforms": derived.bytes} if derived else {}),
        "accuracy": accuracy,
        "spec": spec.to_dict(),
        "files": {path: sha256(content) for path, content in sorted(contents.items())},
    }
    contents[INFO] = json.dumps(info, indent=1, allow_nan=False).encode() + b"\n"
    return contents


def _list_of(types: Collection[str], text: str) -> str:
    """The list of layers, layers.h, with these alone: the folder has no code of the others."""
    entry = re.compile(r"EL_LAYER\(\w+, \d+, (\w+)\)")
    found = [(line, entry.match(line)) for line in text.splitlines(keepends=True)]
    return "".join(line for line, match in found if match is None or match[1] in types)


def ram_bytes(source: Source, scheme: str) -> int:
    """All static memory of model.c: the state, and each channel's last value.

    For sound the front end's and a frame, for transforms the samples that they look back to, of a
    detector the forecasts that are due. If the inputs are characters, a one-hot row stands in the
    place of the last value.
    """
    spec = source.spec
    state = state_bytes(c_network(spec), scheme)
    if isinstance(spec.inputs, Characters):
        return state + 4 * spec.inputs.feature_size
    detector = 4 * spec.answer.ahead[-1] * spec.answer.size + 4 + 8 if spec.detector else 0
    front_end = _front_end(spec)
    frames = 8 * spec.inputs.size + sound_ram(front_end) if front_end else 0
    return state + 8 * spec.inputs.size + detector + frames + derived_ram(spec.inputs)


def _front_end(spec: ModelSpec) -> FrontEnd | None:
    """Frames of PCM as they are need no code: they are samples like any others."""
    sound = spec.inputs.sound
    return sound if isinstance(sound, FrontEnd) else None


def _unit(spec: ModelSpec, scaling: Scaling | None) -> list[float]:
    """(O,) the change of each answer with a change of its output by one."""
    if scaling is None:
        return [1.0] * spec.answer.size
    unit = np.abs(scaling.scale)
    if scaling.quantiles is not None:
        unit = unit * np.maximum(scaling.quantiles.width, 1.0)
    return [one or 1.0 for one in unit.tolist()]


def _scores(source: Source) -> list[float]:
    """(steps,) the detector's on the reference's answers, which the board has as floats.

    Empty if the model is no detector.
    """
    if not source.spec.detector:
        return []
    detector = AnomalyDetector(source.spec)
    return [
        detector(x, y).score
        for x, y in zip(source.samples, source.answers.astype(np.float32), strict=True)
    ]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("edge_lstm_export", "templates/c"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        quoted=_quoted, comment=_comment, number=_number, row=_row, floats=_floats, lines=_lines
    )
    environment.filters["table"] = _table
    return environment


def _escaped(text: str, also: str = "") -> str:
    """ASCII. All else, and all that C reads as something (a trigraph's ? too), is in octal.

    Octal can't swallow the characters after it, as hex does.
    """
    plain = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' + also else f"\\{byte:03o}"
        for byte in text.encode("utf-8", "replace")
    )
    return "".join(plain)


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _comment(text: str) -> str:
    return _escaped(text, also="*")


def _number(value: float) -> str:
    """A double that reads back the same."""
    if np.isinf(value):
        return "-HUGE_VAL" if value < 0 else "HUGE_VAL"
    return "NAN" if np.isnan(value) else repr(float(value))


def _row(values: Iterable[float]) -> str:
    return "{" + ", ".join(map(_number, values)) + "}"


def _table(values: Iterable[float | str]) -> str:
    """Doubles, whole numbers, and names that C knows."""
    texts = (_number(v) if isinstance(v, float) else str(v) for v in values)
    return "{" + ", ".join(texts) + "}"


def _floats(values: Iterable[float]) -> list[str]:
    """Floats that read back the same."""
    texts = [f"{np.float32(value):.9g}" for value in values]
    return [f"{text}f" if set(text) & set(".en") else f"{text}.0f" for text in texts]


def _lines(values: Iterable[float]) -> list[str]:
    texts = _floats(values)
    return [", ".join(texts[n : n + 8]) + "," for n in range(0, len(texts), 8)]
