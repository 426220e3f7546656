"""The name that somebody probably meant."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], before: str = "", after: str = "? ") -> str:
    """ "did you mean 'train'? " for the most similar name, "" if none is similar."""
    import difflib  # here: a board takes a while to load it

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.55)
    return f"{before}did you mean {near[0]!r}{after}" if near else ""
