"""The name that somebody probably meant."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], after: str = "? ") -> str:
    """A question with the most similar name, such as "did you mean 'train'? ", "" if none is."""
    import difflib  # here: a board takes a while to load it

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.55)
    return f"did you mean {near[0]!r}{after}" if near else ""
