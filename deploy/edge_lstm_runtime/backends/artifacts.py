"""The converted models of a bundle, and the one that a backend runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import BackendUnavailableError

if TYPE_CHECKING:
    from ..model.bundle import Bundle


def artifacts_of(bundle: Bundle, kind: str | None) -> dict[str, dict[str, Any]]:
    """The converted models of a kind, sorted: member -> manifest entry.

    kind: such as "rknn", or None for every kind.
    """
    entries = sorted(bundle.manifest.get("artifacts", {}).items())
    return {member: entry for member, entry in entries if kind in (None, entry.get("kind"))}


def pick_artifact(
    bundle: Bundle, kind: str | None, artifact: str | None
) -> tuple[str, dict[str, Any]]:
    """The member to run and its manifest entry. artifact: its name, or None for the only one.

    Raises BackendUnavailableError if there is none, or if there are several and none is named.
    """
    known = artifacts_of(bundle, kind)
    if artifact is None:
        if not known:
            why = [bundle.absent(name) for name in bundle.left_out if name.endswith(f".{kind}")]
            how = f"{bundle.spec.answer.make} on Linux x86-64 with --target and --scheme"
            advice = "; ".join(why) or how
            raise BackendUnavailableError(f"the bundle holds no converted model; {advice}")
        if len(known) > 1:
            raise BackendUnavailableError(
                f"the bundle holds {', '.join(known)}; say which with --artifact"
            )
        (artifact,) = known
    if artifact in bundle.left_out:
        raise BackendUnavailableError(bundle.absent(artifact))
    if artifact not in known:
        raise BackendUnavailableError(
            f"the bundle has no artifact {artifact!r}; it holds {', '.join(known) or 'none'}"
        )
    return artifact, known[artifact]


def steps_at_once(bundle: Bundle, artifact: str) -> int:
    """The number of steps that a converted model takes in one run.

    It is T if `edge-lstm export --chunk T` made the model, and 1 otherwise.
    """
    steps: int = (
        bundle.manifest.get("artifacts", {})
        .get(artifact, {})
        .get("recipe", {})
        .get("io", {})
        .get("steps", 1)
    )
    return steps
