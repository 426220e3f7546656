"""The text of every file of a C export."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection, Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.ext import Extension

from edge_lstm_runtime import AnomalyDetector, FrontEnd, __version__
from edge_lstm_runtime.digest import sha256
from edge_lstm_runtime.inputs.characters import Characters
from edge_lstm_runtime.model.npz import write_npz
from edge_lstm_runtime.model.spec import ModelSpec
from edge_lstm_runtime.native import file_of
from edge_lstm_runtime.shown import counted
from edge_lstm_runtime.tasks import Answer, Scaling
from edge_lstm_runtime.verify.error import Tolerance

from ..npu.in_c import InC
from ..npu.targets import vendor_of
from .audio import sound_ram, sound_tables
from .block import c_network, pack, parameters_of, state_bytes
from .count import Instructions
from .derived import derived_ram, derived_tables
from .folder import INFO
from .library import left_out, with_library
from .names import Names
from .samples import single_tables
from .source import Source
from .style import CStyle

KERNEL = ("include/edge_lstm.h", "src/edge_lstm.c", "src/tiles.h")
FRONT_END = ("include/front_end.h", "src/front_end.c")  # for models that take sound
TRANSFORMS = ("include/transforms.h", "src/transforms.c")  # for transforms or dropped channels
AS_THEY_ARE = ("cortex-m/link.ld", "riscv/start.c")
RENDERED = (
    *("include/model.h", "src/model.h", "src/model.c"),
    *("examples/selftest/main.c", "examples/selftest/golden.h", "examples/stream/stream.ino"),
    *("README.md", "Makefile", "CMakeLists.txt"),
    *("cortex-m/Makefile", "cortex-m/start.c", "riscv/Makefile"),
    *("library.properties", "library.json", "idf_component.yml"),
    *("zephyr/module.yml", "zephyr/CMakeLists.txt", "zephyr/Kconfig"),
)
PUBLIC = r"(?:edge_lstm|layers|front_end|transforms)\.h"
ONE_STREAM = """#ifndef EL_GROUP
#define EL_GROUP 1u /* for one stream: half the code */
#endif
"""
FORMAT = 2  # 1: all files beside each other


@dataclasses.dataclass(frozen=True)
class Wanted:
    """name: of the model, for people. instructions: of a step, if they were counted. npu: what the
    folder gets for an NPU."""

    name: str
    scheme: str
    style: CStyle
    instructions: Instructions | None = None
    npu: InC | None = None


def render(
    source: Source, wanted: Wanted, tolerance: Tolerance, accuracy: dict[str, Any]
) -> dict[str, bytes]:
    """Path in the folder -> content. The same inputs give the same bytes.

    accuracy: goes into model.json as it is.
    """
    spec = source.spec
    names = Names(wanted.style.prefix)
    scheme = wanted.scheme
    single = single_tables(spec, wanted.style.samples)
    network = c_network(spec)
    block = pack(network, parameters_of(spec, source.weights, scheme, source.int8), scheme)
    words = [f"0x{word:08x}u" for word in np.frombuffer(block, "<u4").tolist()]
    types = sorted({file_of(layer.type) for layer in network.layers})
    derived = derived_tables(spec.inputs)
    scores = _scores(source)
    scaling = spec.answer.scaling(spec.inputs)
    logs = [] if scaling is None or scaling.units is None else scaling.units.tolist()
    sizes = {
        "flash_bytes": len(block),
        "state_bytes": state_bytes(network, scheme),
        "ram": ram_bytes(source, scheme, wanted),
        "test_bytes": wanted.style.samples.bytes * source.samples.size
        + 8 * (source.answers.size + spec.answer.size + len(logs) + len(scores)),
    }
    quantiles = None if scaling is None else scaling.quantiles
    front_end = _front_end(spec)
    title = (
        f"a streaming {spec.answer.model}, {counted(spec.inputs.size, 'channel')} in, "
        f"{counted(spec.answer.size, 'value')} out, {scheme}"
    )
    facts = {
        "name": wanted.name,
        "title": title,
        "prefix": wanted.style.prefix,
        "kernel": names.kernel,
        "instructions": wanted.instructions,
        "npu": _npu(wanted),
        "sentence": f"{title[0].upper()}{title[1:]}.",
        "release": ".".join(re.findall(r"\d+", __version__)[:3]),
        "version": __version__,
        "sample_type": wanted.style.samples.type,
        "single": single,
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
        "classes": class_names(spec.answer),
        "mathematics": bool(front_end or derived or spec.inputs.elapsed),
        "front_end": front_end,
        "frames": getattr(spec.inputs, "frames", None),
        "derived": derived,
        "missing": getattr(spec.inputs, "missing", "refuse"),
        "weights_sha256": sha256(write_npz(source.weights)),
        "steps": len(source.samples),
        **sizes,
    }
    templates = _environment(names)
    initial = np.concatenate([np.empty(0), *spec.network.initial_state().values()])
    residual = None if scaling is None else scaling.residual
    data = {
        "words": [", ".join(words[n : n + 10]) + "," for n in range(0, len(words), 10)],
        "scaling": scaling,
        "residual": [] if residual is None else residual.tolist(),
        "logs": logs,
        "watched": spec.answer.channels(spec.inputs) if spec.detector else [],
        "scores": scores,
        "samples": wanted.style.samples.written(source.samples),
        "answers": source.answers.tolist(),
        "unit": _unit(spec, scaling),
        "spread": float(source.outputs.std()) or 1.0,
        "limit": tolerance.limit,
        "reason": tolerance.reason,
        "initial": initial.astype(np.float32).tolist() if initial.any() else [],
        "sound": sound_tables(front_end) if front_end else None,
    }
    native = _kernel()
    kernel = (*KERNEL, *(f"src/{name}.c" for name in types), *(FRONT_END if front_end else ()))
    kernel += TRANSFORMS if derived else ()
    texts = {path: (native / path.split("/")[1]).read_text("utf-8") for path in kernel}
    texts["include/layers.h"] = _list_of(types, (native / "layers.h").read_text("utf-8"))
    header = texts["include/edge_lstm.h"]
    texts["include/edge_lstm.h"] = with_library(header, texts)
    contents = {
        _place(path, names.kernel): names.of_kernel(_in_folder(path, text)).encode()
        for path, text in texts.items()
    }
    contents |= {
        path: (files("edge_lstm_export") / "templates" / "c" / path).read_bytes()
        for path in AS_THEY_ARE
    }
    contents |= {
        names.of_template(path): templates.get_template(f"{path}.j2")
        .render(facts, **data)
        .encode("utf-8", "replace")
        for path in RENDERED
    }
    contents |= _of_npu(wanted, templates, {**facts, **data})
    info = {
        "format": FORMAT,
        "made_by": f"edge-lstm {__version__}",
        **{key: facts[key] for key in ("name", "scheme", "prefix", "weights_sha256")},
        "sample": wanted.style.samples.to_dict(),
        "bytes": {
            "flash_model": sizes["flash_bytes"],
            "ram": sizes["ram"],
            "flash_golden": sizes["test_bytes"],
        }
        | ({"flash_front_end": data["sound"]["bytes"]} if data["sound"] else {})
        | ({"flash_transforms": derived.bytes} if derived else {}),
        "accuracy": accuracy,
        **({"npu": wanted.npu.summary} if wanted.npu else {}),
        "spec": spec.to_dict(),
        "files": {path: sha256(content) for path, content in sorted(contents.items())},
    }
    contents[INFO] = json.dumps(info, indent=1, allow_nan=False).encode() + b"\n"
    return contents


def _npu(wanted: Wanted) -> dict[str, Any] | None:
    """What templates see as `npu`. folder: the name of the vendor."""
    if wanted.npu is None:
        return None
    vendor = vendor_of(wanted.style.npu)
    return {"folder": vendor.name, "title": vendor.title, **wanted.npu.facts}


def _of_npu(wanted: Wanted, environment: Environment, facts: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of the vendor."""
    if wanted.npu is None:
        return {}
    names = Names(wanted.style.prefix)
    return {
        f"{facts['npu']['folder']}/{names.of_template(path.removesuffix('.j2'))}": (
            environment.from_string(text).render(facts) if path.endswith(".j2") else text
        ).encode()
        for path, text in wanted.npu.templates.items()
    }


def _kernel() -> Path:
    """The folder with the kernel's sources: beside this file in a wheel, else the runtime's."""
    here = Path(__file__)
    packed = here.with_name("kernel")
    return packed if packed.is_dir() else here.parents[3] / "deploy/edge_lstm_runtime/native"


def _place(path: str, prefix: str) -> str:
    """Where one of the kernel's files lies in the folder."""
    folder, name = path.split("/")
    return f"{folder}/{prefix}{name}"


def _in_folder(path: str, text: str) -> str:
    """One of the kernel's files, with its headers where they lie in the folder, so that a build
    needs no path for them, code for one stream, and none if another folder's is used."""
    if path.startswith("include/"):
        return text
    if path.endswith(".c"):
        text = left_out(text)
    text = re.sub(rf'^#include "({PUBLIC})"', r'#include "../include/\1"', text, flags=re.MULTILINE)
    if path != "src/tiles.h":
        return text
    place = "#define EL_TILES_H\n"
    assert place in text
    return text.replace(place, f"{place}\n{ONE_STREAM}")


def class_names(answer: Answer) -> list[str]:
    """Of each class, what stands behind MODEL_CLASS_ in C. Empty if two would be the same, or if
    the classes are characters."""
    if not answer.logits or answer.text:
        return []
    found = [re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_") for name in answer.names]
    return found if len(set(found)) == len(found) and all(found) else []


def _list_of(types: Collection[str], text: str) -> str:
    """The list of layers, layers.h, with these alone: the folder has no code of the others."""
    entry = re.compile(r"EL_LAYER\(\w+, \d+, (\w+)\)")
    found = [(line, entry.match(line)) for line in text.splitlines(keepends=True)]
    return "".join(line for line, match in found if match is None or match[1] in types)


def ram_bytes(source: Source, scheme: str, wanted: Wanted) -> int:
    """All static memory of model.c: the state, the clock's count, and each channel's last value.

    For sound the front end's and a frame, for transforms the samples that they look back to, of a
    detector the forecasts that are due. If the inputs are characters, a one-hot row stands in the
    place of the last value. With an NPU the state that comes from it, and the features.
    """
    spec = source.spec
    state = state_bytes(c_network(spec), scheme) + 4
    rows = wanted.style.samples.single or isinstance(spec.inputs, Characters)
    derived = derived_ram(spec.inputs)
    if wanted.npu is not None:
        state += 8 + 4 * max(1, sum(spec.network.state.values()))
        state += 0 if rows or derived else 4 * spec.inputs.feature_size
    if rows:
        return state + 4 * spec.inputs.feature_size
    detector = 4 * spec.answer.ahead[-1] * spec.answer.size + 4 + 8 if spec.detector else 0
    front_end = _front_end(spec)
    frames = 8 * spec.inputs.size + sound_ram(front_end) if front_end else 0
    return state + 8 * spec.inputs.size + detector + frames + derived


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


class _Renamed(Extension):
    """Gives templates the folder's names before anybody's own names are put in."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        del name, filename
        names = self.environment.globals["folder_names"]
        assert isinstance(names, Names)
        return names.of_template(source)


def _environment(names: Names) -> Environment:
    environment = Environment(
        loader=PackageLoader("edge_lstm_export", "templates/c"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        extensions=[_Renamed],
    )
    environment.globals["folder_names"] = names
    environment.filters.update(
        quoted=_quoted, comment=_comment, number=_number, row=_row, floats=_floats, lines=_lines
    )
    environment.filters["table"] = _table
    environment.filters["floats_row"] = lambda values: "{" + ", ".join(_floats(values)) + "}"
    environment.filters["named"] = names.of_template
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
    texts = ["NAN" if np.isnan(value) else f"{np.float32(value):.9g}" for value in values]
    return [
        text if text == "NAN" else f"{text}f" if set(text) & set(".en") else f"{text}.0f"
        for text in texts
    ]


def _lines(values: Iterable[float]) -> list[str]:
    texts = _floats(values)
    return [", ".join(texts[n : n + 8]) + "," for n in range(0, len(texts), 8)]
