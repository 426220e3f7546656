"""How the source of a C export is written."""

from __future__ import annotations

import dataclasses

from edge_lstm_runtime import ConfigError

from ..npu.targets import find, vendor_of
from .count import check_countable
from .names import DEFAULT, check_prefix
from .samples import DOUBLE, Samples, check_samples


@dataclasses.dataclass(frozen=True)
class CStyle:
    """prefix: of all names in C. samples: what a sample is in C. count: whether QEMU counts the
    instructions of a step, for the README; it needs a compiler for ARM. npu: a target whose
    converted model the bundle has, "" for none: the folder gets its step too. npu_scheme: of that
    model, "" for the one there is, or that rounds least.
    """

    prefix: str = DEFAULT
    samples: Samples = DOUBLE
    count: bool = False
    npu: str = ""
    npu_scheme: str = ""


def check_style(style: CStyle) -> None:
    """Raises ConfigError for what is not offered, ConversionError if a program is missing."""
    check_prefix(style.prefix)
    check_samples(style.samples)
    if style.npu or style.npu_scheme:
        check_npu(style.npu, style.npu_scheme)
    if style.count:
        check_countable()


def check_npu(target: str, scheme: str) -> None:
    """Raises ConfigError for an unknown target or scheme, or if its vendor has no C source."""
    vendor = vendor_of(target)
    if not vendor.in_c:
        raise ConfigError(
            f"--target c writes a folder of C source and {target} a bundle: there is no C source "
            f"for {vendor.title}; export twice, with -o FOLDER and -o NAME.edge"
        )
    if scheme:
        find(target, scheme)
