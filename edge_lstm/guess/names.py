"""The classes, the groups and the parts that the names of files tell.

A name is cut into fields: its folders, and the words between "_", "-", spaces and points. A field
is a class if it has the same few values again and again. It is a group if these are a letter with
a number (p3), or if another field is the class. The last numbers are a count.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence

from .draft import Key

MOST = 100  # classes
_CUT = re.compile(r"([/_\-. ]+)")
_NUMBERED = re.compile(r"([A-Za-z]+)(\d+)")
_PERSON = re.compile(
    r"(s|p|u|id|sub|subj|subject|person|user|participant|patient|speaker|spk|unit|device|machine|"
    r"engine|session|run|day|site|station)[_-]?\d+",
    re.IGNORECASE,
)
_PART = re.compile(
    r"(?<![a-z])(data|x)?(train|test|val|valid|validation|training|testing)(?=[^a-z]|$)"
)


@dataclasses.dataclass(frozen=True)
class Named:
    """pattern  as the key of [data]
    labels   the class of each file, by its name; groups: its group
    """

    pattern: Key
    labels: Mapping[str, str]
    groups: Mapping[str, str]


def parts(names: Sequence[str]) -> dict[str, str]:
    """ "train" or "test" for each name, if every name has one of these words, else {}.

    Files for validation count as training: validation is drawn from them.
    """
    found = {}
    for name in names:
        words = {m[2] for m in _PART.finditer(name.lower().replace("dataset", "data"))}
        kinds = {"test" if word.startswith("test") else "train" for word in words}
        if len(kinds) != 1:
            return {}
        found[name] = kinds.pop()
    return found if set(found.values()) == {"train", "test"} else {}


def named(names: Sequence[str]) -> Named | None:
    """names: of at least two files, below their folder, without endings."""
    if len(names) < 2:
        return None
    return _by_fields(names) or _by_folder(names) or _by_count(names)


def by_pattern(pattern: str, names: Sequence[str], why: str) -> Named | None:
    """None if a name doesn't match."""
    labels, groups = {}, {}
    for name in names:
        match = re.fullmatch(pattern, name)
        if match is None:
            return None
        told = match.groupdict()
        if told.get("label") is not None:
            labels[name] = told["label"]
        if told.get("group") is not None:
            groups[name] = told["group"]
    return Named(Key(pattern, why), labels, groups)


def _by_fields(names: Sequence[str]) -> Named | None:
    cut = [_CUT.split(name) for name in names]
    if len({(len(each), *each[1::2]) for each in cut}) != 1:
        return None
    fields = list(zip(*(each[::2] for each in cut), strict=True))
    signs = cut[0][1::2]
    roles = _roles(fields, signs)
    if "label" not in roles:
        return None
    pieces = []
    for k, values in enumerate(fields):
        pieces.append(_piece(values, roles[k], signs[k] if k < len(signs) else ""))
        if k < len(signs):
            pieces.append(re.escape(signs[k]).replace("\\_", "_").replace("\\-", "-"))
    return by_pattern("".join(pieces), names, _words(fields, roles))


def _roles(fields: Sequence[Sequence[str]], signs: Sequence[str]) -> list[str]:
    """ "label", "group" or "" for each field."""
    roles = [""] * len(fields)
    folders = sum("/" in sign for sign in signs)
    able = [k for k, values in enumerate(fields) if _again(values)]
    people = [k for k in able if _are_people(fields[k])]
    others = [k for k in able if k not in people]
    others.sort(key=lambda k: (k >= folders, k))  # folders first
    last = len(fields) - 1
    counted = [k for k in others if k == last and all(v.isdigit() for v in fields[k])]
    others = [k for k in others if k not in counted] or ([] if len(able) > 1 else counted)
    if others:
        roles[others[0]] = "label"
        rest = people or [k for k in others[1:] if not all(v.isdigit() for v in fields[k])]
        if rest:
            roles[rest[0]] = "group"
    else:
        counts = [_heads(values) for values in fields]
        for k, heads in enumerate(counts):
            if heads:
                roles[k] = "label"
                break
    return roles


def _again(values: Sequence[str]) -> bool:
    """Whether a field has a few values that come again."""
    counts = collections.Counter(values)
    return 2 <= len(counts) <= min(MOST, len(values) // 2) and min(counts.values()) >= 2


def _are_people(values: Sequence[str]) -> bool:
    if all(_PERSON.fullmatch(value) for value in values):
        return True
    heads = {match[1] for value in values if (match := _NUMBERED.fullmatch(value))}
    return len(heads) == 1 and all(_NUMBERED.fullmatch(value) for value in values)


def _heads(values: Sequence[str]) -> bool:
    """Whether the values are a class with a count behind it: walk01, walk02, run01."""
    matches = [_NUMBERED.fullmatch(value) for value in values]
    return all(matches) and _again([match[1] for match in matches if match])


def _piece(values: Sequence[str], role: str, after: str) -> str:
    """The part of the pattern for a field. after: the sign behind it."""
    other = "/" if "/" in after else f"/{re.escape(after[:1])}" if after else "/"
    other = other.replace("\\-", "-")
    inner = f"[^{other}]+" if other != "/" else "[^/]+"
    if role == "label" and not _again(values):  # a count behind it
        return r"(?P<label>[A-Za-z]+)\d+"
    if role:
        digits = all(value.isdigit() for value in values)
        return f"(?P<{role}>{chr(92) + 'd+' if digits else inner})"
    if len(set(values)) == 1:
        return re.escape(values[0])
    return r"\d+" if all(value.isdigit() for value in values) else inner


def _by_folder(names: Sequence[str]) -> Named | None:
    """Names of different kinds, in a folder for each class."""
    if not all("/" in name for name in names):
        return None
    folders = [name.split("/")[0] for name in names]
    if len(set(folders)) < 2 or len(set(folders)) > MOST or _are_people(folders):
        return None
    return by_pattern("(?P<label>[^/]+)/.*", names, f"the folder is the class: {_some(folders)}")


def _by_count(names: Sequence[str]) -> Named | None:
    """Names of different kinds with a number at their end: walking_up_1, run_2."""
    pattern = r"(?:.*/)?(?P<label>[^/]*?[^/\d_\-. ])[_\-. ]*\d+"
    found = by_pattern(pattern, names, "")
    if found is None or not _again(list(found.labels.values())):
        return None
    labels = [*found.labels.values()]
    return by_pattern(pattern, names, f"the name without its number is the class: {_some(labels)}")


def _words(fields: Sequence[Sequence[str]], roles: Sequence[str]) -> str:
    said = []
    for role, word in (("label", "class"), ("group", "group")):
        if role in roles:
            values = fields[roles.index(role)]
            if role == "label" and not _again(values):
                values = [match[1] for v in values if (match := _NUMBERED.fullmatch(v))]
            said.append(f"{word}: {_some(values)}")
    return "; ".join(said)


def _some(values: Sequence[str]) -> str:
    different = sorted(set(values))
    shown = ", ".join(different[:3])
    return f"{shown}, ... ({len(different)})" if len(different) > 3 else shown
