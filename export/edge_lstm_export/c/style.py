"""How the source of a C export is written."""

from __future__ import annotations

import dataclasses

from .count import check_countable
from .names import DEFAULT, check_prefix
from .samples import DOUBLE, Samples, check_samples


@dataclasses.dataclass(frozen=True)
class CStyle:
    """prefix: of all names in C. samples: what a sample is in C. count: whether QEMU counts the
    instructions of a step, for the README; it needs a compiler for ARM.
    """

    prefix: str = DEFAULT
    samples: Samples = DOUBLE
    count: bool = False


def check_style(style: CStyle) -> None:
    """Raises ConfigError for what is not offered, ConversionError if a program is missing."""
    check_prefix(style.prefix)
    check_samples(style.samples)
    if style.count:
        check_countable()
