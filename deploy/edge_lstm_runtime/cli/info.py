"""Show what is in a bundle."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from .. import native
from ..backends.registry import known_facts
from ..errors import BackendUnavailableError
from ..inputs.characters import Characters
from ..inputs.text import STANDARD
from ..model.measured import read_measured
from ..shown import in_a_line
from ._shared import add_bundle, load_asked

if TYPE_CHECKING:
    from ..inputs.frames import Sound
    from ..model.bundle import Bundle
    from ..model.spec import ModelSpec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show what is in a bundle: the model, its channels, its members, and the accuracy that\n"
        "was measured at export. Show the native kernels and the backends of this machine too."
    )
    parser.epilog = "example:\n  edge-lstm info har.edge"
    add_bundle(parser, backend=None)
    parser.add_argument("--json", action="store_true", help="print the manifest as it is")


def main(arguments: argparse.Namespace) -> int:

    bundle = load_asked(arguments).bundle
    if arguments.json:
        print(json.dumps(bundle.manifest, indent=1, sort_keys=True, allow_nan=False))
        return 0
    _print_origin(bundle)
    _print_model(bundle.spec)
    _print_machine()
    _print_file(bundle)
    return 0


def _print_model(spec: ModelSpec) -> None:

    inputs = spec.inputs
    network = spec.network
    characters = isinstance(inputs, Characters)
    outputs = repr("".join(spec.answer.names)) if characters else ", ".join(spec.answer.names)
    _line(f"task      {spec.answer.task}: {outputs}")
    if spec.detector:
        _line(f"anomaly   a score above {spec.detector.threshold:.4g}")
    missing = getattr(inputs, "missing", "refuse")
    _line(f"channels  {', '.join(inputs.names)} (raw units; missing values: {missing})")
    if inputs.text != STANDARD:
        _line(f"text      {inputs.text.words()}, as the training file")
    if (sound := inputs.sound) is not None:
        _line(f"sound     {sound.sample_rate} Hz mono, {_frames(sound)}")
    if inputs.elapsed:
        _line(
            f"time      {inputs.elapsed} is the seconds since the sample before; `run` takes them, "
            f"or works them out from {inputs.time_column!r}"
        )
    if inputs.clock:
        _line(f"time      {inputs.clock} is a datetime, or the seconds since 1970 (UTC)")
    for transform in getattr(inputs, "transforms", ()):
        _line(f"transform {transform.words()}")
    if dropped := getattr(inputs, "drop", ()):
        _line(f"dropped   {', '.join(dropped)} (no features themselves)")
    whole = ", whole sequences only" if spec.whole else ""
    _line(f"model     {network.title}{whole}, {network.size}")


def _frames(sound: Sound) -> str:
    if sound.frame_length == 1:
        return f"a sample of {sound.words} a step"
    apart = f"{sound.hop_length} apart: {sound.frame_rate:g} a second"
    return f"{sound.words} of frames of {sound.frame_length} samples, {apart}"


def _print_machine() -> None:
    """The native kernels and the backends."""

    try:
        kernels = ", ".join(native.kernels())
        _line(f"native    {kernels} (the kernels that this machine runs, the fastest first)")
    except BackendUnavailableError as e:
        _line(f"native    not here: {e}")
    _line("backends")
    for name, facts in known_facts().items():
        about = (
            f"{facts.number_format:<16}{facts.runs_on:<11}{facts.needs}"
            if facts
            else "a plug-in that can't be loaded"
        )
        _line(f"  {name:<24}{about}".rstrip())


# The keys of the manifest's provenance, as a person reads them.
_ORIGIN = {
    "trained": "trained",
    "code": "trained by",
    "commit": "commit",
    "data_modified": "data of",
    "data_sha256": "data, sha256",
    "config_sha256": "settings, sha256",
    "slim_of": "slim, of",
    "golden": "golden samples",
    "net": "imported from",
    "net_sha256": "net, sha256",
}


def _print_origin(bundle: Bundle) -> None:
    """The model's name and version, the digest of the file, and where the model is from."""

    if bundle.version is not None:
        _line(f"name      {bundle.name}, version {bundle.version}")
    _line(f"sha256    {bundle.digest} (of the file)")
    provenance = bundle.manifest.get("provenance", {})
    if provenance:
        _line("from")
    for key in (*_ORIGIN, *sorted(provenance.keys() - _ORIGIN)):
        if key in provenance:
            _line(f"  {_ORIGIN.get(key, key):<24}{provenance[key]}")


def _print_file(bundle: Bundle) -> None:
    """The members, and the manifest's entries about the export."""

    manifest = bundle.manifest
    _line("members")
    for name, entry in sorted(manifest["members"].items()):
        _line(f"  {name:<24}{entry['bytes']:>10} bytes  sha256 {entry['sha256'][:12]}")
    if manifest.get("accuracy"):
        _line("accuracy, measured at export against the float64 reference")
        for measured, entry in read_measured(manifest["accuracy"]).items():
            errors = f"max abs {entry['max_abs']:.2e}  NRMSE {entry['nrmse']:.2e}"
            _line(f"  {measured!s:<34}{errors}  over {entry['steps']} steps")
    for name, reason in bundle.left_out.items():
        _line(f"left out  {name}: {reason}")
    if manifest.get("versions"):
        _line("made with")
    for name, value in sorted(manifest.get("versions", {}).items()):
        _line(f"  {name:<24}{value}")


def _line(text: str) -> None:
    """Print one line, whatever names are in it."""
    print(in_a_line(text))
