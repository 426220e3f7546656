"""A target, and the table of a vendor's targets, its targets.toml."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# A line of what is known of a target: its label, the fact whose sources it names ("" for none), and
# the text.
Detail = tuple[str, str, str]


@dataclasses.dataclass(frozen=True)
class Target:
    """An NPU that an export can be for. `edge-lstm targets` prints them. "" means unknown.

    vendor     the name of its vendor
    schemes    the number formats that it takes
    accurate   the one that rounds least, or None if all of them round visibly
    default    those that an export makes if none is asked for
    refused    number formats that the vendor has and that are not offered -> why
    verified   those whose converted model is streamed on the simulator in this project's tests
    boards     where it is found
    sources    fact -> keys of the table of documents, such as "operators:3.2.38"

    A vendor's own facts are fields of a derived class.

    >>> import edge_lstm_export as ex
    >>> chip = ex.targets()["rk3588"]
    >>> chip
    Target(rk3588: fp16, w8a8)
    >>> chip.vendor, chip.accurate
    ('rknn', 'fp16')
    >>> chip.cells()[:3], chip.hardware()[1]  # for `edge-lstm targets`
    (('rk3588', '3', 'fp16, w8a8'), ('cores', 'cores', '3'))
    >>> chip.details()[0][1:], chip.cited()
    (('lstm', 'in the manual: listed (int8, float16); by the converter: on the NPU'), ())
    """

    name: str
    vendor: str
    schemes: tuple[str, ...]
    accurate: str | None
    default: tuple[str, ...]
    refused: Mapping[str, str]
    verified: tuple[str, ...]
    boards: str
    sources: Mapping[str, tuple[str, ...]]

    def __repr__(self) -> str:
        return f"Target({self.name}: {', '.join(self.schemes)})"

    def cells(self) -> Sequence[str]:
        """Its row of the list: a text for each of `Vendor.columns`."""
        return (self.name, ", ".join(self.schemes), self.boards or "?")

    def hardware(self) -> Sequence[Detail]:
        """What is known of the NPU itself."""
        return ()

    def details(self) -> Sequence[Detail]:
        """What else is known of the target, but for its schemes."""
        return [("boards", "boards", self.boards or "unknown")]

    def cited(self) -> Sequence[str]:
        """Keys of documents that `details` names besides those of `sources`."""
        return ()


@dataclasses.dataclass(frozen=True)
class Table:
    """The content of a targets.toml.

    content: [target.NAME] with schemes and sources, and if known refused, verified, boards, and the
    vendor's own keys; [schemes] name -> meaning; [sources] key -> document; [accuracy] schemes,
    those in which rounding hardly shows, the best first; [default] schemes, those that an export
    makes of a target that takes them.
    """

    content: Mapping[str, Any]

    @classmethod
    def read(cls, text: str) -> Table:
        return cls(tomllib.loads(text))

    @property
    def schemes(self) -> dict[str, str]:
        return dict(self.content["schemes"])

    def source(self, key: str) -> str:
        """The document behind a key of `Target.sources`, such as "operators:3.2.38"."""
        name, _, section = key.partition(":")
        document: str = self.content["sources"][name]
        return f"{document}, section {section}" if section else document

    def rows(self, vendor: str) -> Iterator[tuple[str, dict[str, Any], Mapping[str, Any]]]:
        """Of each target its name, the fields that all vendors' have, and its row in the file."""
        for name, row in self.content["target"].items():
            yield name, self._common(name, vendor, row), row

    def _common(self, name: str, vendor: str, row: Mapping[str, Any]) -> dict[str, Any]:
        schemes = tuple(row["schemes"])
        accurate = self.content.get("accuracy", {}).get("schemes", ())
        default = self.content.get("default", {}).get("schemes", schemes)
        sources = {fact: tuple(keys) for fact, keys in row["sources"].items()}
        return {
            "name": name,
            "vendor": vendor,
            "schemes": schemes,
            "accurate": next((s for s in accurate if s in schemes), None),
            "default": tuple(s for s in default if s in schemes),
            "refused": MappingProxyType(row.get("refused", {})),
            "verified": tuple(row.get("verified", ())),
            "boards": row.get("boards", ""),
            "sources": MappingProxyType(sources),
        }
