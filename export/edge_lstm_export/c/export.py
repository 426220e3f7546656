"""The C export, from a trained run or a bundle to a folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_lstm import Run
from edge_lstm_runtime import Bundle, Comparison, ConversionError, compare
from edge_lstm_runtime.backends.numpy import NumpyBackend
from edge_lstm_runtime.files import one_at_a_time
from edge_lstm_runtime.native import PRECISIONS
from edge_lstm_runtime.verify.error import Tolerance

from ..asked import check_c
from ..measure import tolerances
from ..words import beside
from .block import c_network, in_half, model_bytes, run_int8
from .build import Built, build_and_run
from .count import count_instructions
from .folder import write_folder
from .names import Names
from .npu import npu_source
from .render import Wanted, ram_bytes, render
from .source import Source, read_source
from .style import CStyle


@dataclasses.dataclass(frozen=True)
class Scheme:
    """flash: bytes of the model's constants. ram: bytes of static memory. comparison: with the
    reference over the golden steps, by NumPy."""

    flash: int
    ram: int
    comparison: Comparison


@dataclasses.dataclass(frozen=True)
class CExport:
    """A folder of C source that was written.

    scheme: of the model in it. schemes: all number formats as measured here, to choose by. built:
    what building and running its self-test here gave.

    >>> import edge_lstm_export as ex
    >>> made = ex.export_c("mine.edge", "example-c")
    >>> made
    CExport('example-c', float32, 2 kB of constants)
    >>> made.schemes["int8"].flash < made.schemes["float32"].flash  # bytes
    True
    """

    folder: Path
    scheme: str
    schemes: dict[str, Scheme]
    built: Built
    npu: str = ""

    def __repr__(self) -> str:
        size = f"{self.schemes[self.scheme].flash / 1000:.2g} kB of constants"
        return f"CExport({self.folder.name!r}, {self.scheme}, {size})"


def export_c(
    source: Run | Bundle | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    scheme: str = "float32",
    style: CStyle = CStyle(),  # noqa: B008  (frozen)
    say: Callable[[str], None] = lambda _: None,
) -> CExport:
    """Turn a trained run, or a bundle, into the folder `out` of C source.

    The source is tested here if there is a C compiler.

    scheme: "float32", "float16" or "int8". style: the source's names and samples, and an
    NPU. say: takes lines of progress.

    Raises ConfigError for an unknown scheme, prefix or NPU, a sample that is not offered, or a name
    of a bundle, ConversionError if the kernel does not take the model, if its answers are out of
    tolerance, if `out` is not an export's folder, or if another process exports to it. What was
    there before is then unchanged.

    >>> import edge_lstm_export as ex
    >>> made = ex.export_c("mine.edge", "mine-c")
    >>> (made.folder / "Makefile").exists(), made.scheme
    (True, 'float32')
    """
    out = Path(os.path.abspath(out))  # noqa: PTH100  (resolve() would follow a link)
    check_c(source, out, scheme, style)
    with one_at_a_time(out, ConversionError):
        return _exported(source, out, Wanted(out.name, scheme, style), say)


def _exported(
    source: Run | Bundle | str | os.PathLike[str],
    out: Path,
    wanted: Wanted,
    say: Callable[[str], None],
) -> CExport:
    scheme = wanted.scheme
    found = read_source(source, scheme, wanted.style.samples)
    npu = npu_source(source, found, wanted.style)
    wanted = dataclasses.replace(wanted, npu=npu)
    schemes = {name: _measured(found, name, wanted) for name in PRECISIONS}
    tolerance = _tolerance(found, scheme, schemes[scheme].comparison)
    accuracy = {
        "figures_from": "NumPy, of the kernel's arithmetic",
        **schemes[scheme].comparison.to_dict(),
        "tolerance": dataclasses.asdict(tolerance),
    }
    contents = render(found, wanted, tolerance, accuracy)
    say("building the source and running its self-test here")
    built = build_and_run(contents, Names(wanted.style.prefix))
    if wanted.style.count:
        say("counting the instructions of a step under QEMU")
        counted = dataclasses.replace(wanted, instructions=count_instructions(contents))
        contents = render(found, counted, tolerance, accuracy)
    write_folder(out, contents)
    return CExport(out, scheme, schemes, built, npu.summary if npu else "")


def _measured(source: Source, scheme: str, wanted: Wanted) -> Scheme:
    spec = source.spec
    weights = source.weights
    rows = source.rows
    if scheme == "int8":
        outputs = run_int8(spec, weights, source.int8, rows)
    else:
        stored = in_half(weights) if scheme == "float16" else weights
        outputs = NumpyBackend(spec, stored).run(rows.astype(np.float32))
    return Scheme(
        model_bytes(c_network(spec), scheme),
        ram_bytes(source, scheme, wanted),
        compare(outputs, source.outputs),
    )


def _tolerance(source: Source, scheme: str, comparison: Comparison) -> Tolerance:
    """The tolerance of the self-test on every board.

    Raises ConversionError if the model's answers are not right as they are.
    """
    if scheme == "float32":
        rows = source.rows
        lengths = np.array([len(rows)])
        tolerance = tolerances.float32(source.spec, source.weights, rows, lengths, source.outputs)
        most = tolerance
    else:
        where = f"by NumPy with the kernel's rounding to {scheme}"
        bits = "fp16" if scheme == "float16" else scheme
        tolerance = tolerances.with_margin(bits, comparison.nrmse, where)
        most = dataclasses.replace(tolerance, limit=tolerances.wrong(bits))
    if not comparison.within(most):
        advice = "use --scheme float32" if scheme != "float32" else "use the numpy backend"
        found, allowed = beside(getattr(comparison, most.metric), most.limit)
        what = "NRMSE" if most.metric == "nrmse" else "largest error"
        error = f"{what} {found}; at most {allowed} counts as right"
        raise ConversionError(f"{scheme} is out of tolerance: {error}: {advice}")
    return tolerance
