"""What an export is asked for, checked before PyTorch and onnx are imported."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_lstm.results.run import Run, check_is_run
from edge_lstm_runtime import ConfigError, ConversionError
from edge_lstm_runtime.files import check_file_writable
from edge_lstm_runtime.model.facts import wrong_name, wrong_version
from edge_lstm_runtime.native import PRECISIONS

from .c.folder import check_replaceable
from .c.style import CStyle, check_style
from .npu import targets as target_table

CHUNKS = range(2, 1025)  # steps that a converted model may take at once
STEP_SCHEME = "fp16"


def wanted(
    targets: Sequence[str],
    schemes: Sequence[str] | None,
    chunk: int | None,
    sim_steps: int,
    *,
    imported: bool = False,
) -> dict[str, tuple[str, ...]]:
    """The number formats of each target. The arguments are those of `export_run`.

    imported: whether the net was trained elsewhere, and so for no number format. Raises ConfigError
    for one that is not offered.
    """
    if chunk is not None and (type(chunk) is not int or chunk not in CHUNKS):
        expected = f"a whole number from {CHUNKS[0]} to {CHUNKS[-1]}"
        raise ConfigError(
            f"chunk is {chunk!r}; expected {expected}, or nothing for one step at a time alone"
        )
    if type(sim_steps) is not int or sim_steps < 1:
        raise ConfigError(f"sim_steps is {sim_steps!r}; expected a whole number from 1 up")
    found: dict[str, tuple[str, ...]] = {}
    for target in dict.fromkeys(targets) if schemes is None or schemes else ():
        found[target] = tuple(schemes or _default(target, imported=imported))
        for scheme in found[target]:
            target_table.find(target, scheme)
    return found


def named_model(name: str | None, version: int | None) -> dict[str, Any] | None:
    """The name and version of the model, None without. Raises ConfigError."""
    if name is None and version is None:
        return None
    if name is None or version is None:
        raise ConfigError(
            "a model's name and version belong together; give both (--name, --version), or none"
        )
    if wrong := wrong_name(name) or wrong_version(version):
        raise ConfigError(wrong)
    return {"name": name, "version": version}


def of_step(
    formats: Mapping[str, tuple[str, ...]], chunk: int | None, *, named: bool
) -> dict[str, tuple[str, ...]]:
    """The number formats of a net that is an opaque step graph: fp16.

    formats: of `wanted`. named: whether the user named them. Raises ConversionError.
    """
    if chunk is not None:
        raise ConversionError("an opaque step graph takes one step at a time; leave out the chunk")
    for target, schemes in formats.items():
        other = [scheme for scheme in schemes if scheme != STEP_SCHEME]
        if other and (named or STEP_SCHEME not in schemes):
            offered = STEP_SCHEME in target_table.known(target).schemes
            raise ConversionError(
                f"{target} {other[0]}: there is no int8 recipe for an opaque step graph; "
                f"it is converted in {STEP_SCHEME}"
                + ("" if offered else f", which {target} does not have")
            )
    return dict.fromkeys(formats, (STEP_SCHEME,))


def _default(target: str, *, imported: bool) -> tuple[str, ...]:
    """The number formats if none is asked for: of an imported net the one that rounds least."""
    row = target_table.known(target)
    accurate = row.accurate
    return (accurate,) if imported and accurate else row.default


def check_samples(formats: Mapping[str, Sequence[str]], *, synthetic: bool) -> None:
    """Raises ConversionError for a number format that is calibrated, if there are no real data.

    formats: of each target.
    """
    for target, schemes in formats.items():
        for scheme in schemes:
            if synthetic and scheme != "fp16":
                raise ConversionError(
                    f"{scheme} on {target} is calibrated with real inputs of the net; give them "
                    "as samples (--samples FILE)"
                )


def check_paths(run: object, out: Path, inputs: Iterable[Path] = ()) -> None:
    """run: of `export_run`. out: the bundle, NAME.edge. inputs: files that are read. Raises
    TrainingError if there is no such run, and ConversionError if the bundle has another ending, or
    if it or its report can't be written, or would replace one of the inputs.
    """
    _check_writable(out)  # first: "." and "/" have no name that could have an ending
    _check_writable(out.with_suffix(".html"))
    for path in inputs:
        for written in (out, out.with_suffix(".html")):
            if written.exists() and path.exists() and written.samefile(path):
                raise ConversionError(f"{written} is read, and would be replaced; name another -o")
    if out.suffix != ".edge":  # by which other commands know a bundle
        raise ConversionError(
            f"{out}: is no bundle's name; expected NAME.edge, such as {out.with_suffix('.edge')}"
        )
    if isinstance(run, str | os.PathLike):
        check_is_run(Path(run))


def _check_writable(file: Path) -> None:
    try:
        check_file_writable(file)
    except OSError as e:
        raise ConversionError(f"can't write {file}: {e.strerror or e}") from e


def check_c(source: object, out: Path, scheme: str, style: CStyle) -> None:
    """The arguments of `export_c`. Raises ConfigError, TrainingError or ConversionError."""
    if scheme not in PRECISIONS:
        raise ConfigError(
            f"scheme {scheme!r} is not offered for target c; "
            f"expected one of {', '.join(PRECISIONS)}"
        )
    check_style(style)
    if out.suffix == ".edge":
        raise ConfigError(
            f"the C export is a folder and {out.name} is a bundle's name; leave .edge out"
        )
    check_replaceable(out)
    path = Path(source) if isinstance(source, str | os.PathLike) else None
    run = path if path is not None and path.suffix != ".edge" else None
    if style.npu and (run or isinstance(source, Run)):
        raise ConfigError(
            f"C source for {style.npu} is made from a bundle that has its model; first export the "
            f"run with --target {style.npu} -o NAME.edge, then NAME.edge"
        )
    if run is not None:
        check_is_run(run)
