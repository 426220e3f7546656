"""What has no form in integers on Ethos-U. The compiler need not be started for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_lstm_runtime import ModelSpec

from ..finding import Finding, Places, Rule

NOT_OURS = "layer-norm", "softmax", "embedding"  # of the operations in `compiler/tape.py`


def layers(spec: ModelSpec) -> Places:
    """A layer has no form in integers: layer normalization, softmax, an embedding."""
    for layer in spec.network.layers:
        if layer.type in NOT_OURS:
            yield f"layer {layer.name!r} is {layer.type}, which has no form in integers", ADVICE


def whole(spec: ModelSpec) -> Places:
    """The network needs a whole sequence, and the form is one step."""
    if spec.whole:
        yield "the network needs a whole sequence, and Ethos-U gets one step", ADVICE


def opaque(spec: ModelSpec) -> Places:
    """The network is an opaque step graph, whose operators are not known here."""
    if spec.network.opaque:
        yield "the network is a step graph, and Ethos-U gets layers", ADVICE


ADVICE = "use a backend of the CPU, or another network"
RULES = {
    "layer-has-integers": Rule("error", layers),
    "one-step": Rule("error", whole),
    "layers-are-known": Rule("error", opaque),
}


def findings(spec: ModelSpec) -> Sequence[Finding]:
    found: list[Finding] = []
    for name in ("layers-are-known", "one-step", "layer-has-integers"):
        rule = RULES[name]
        found += [Finding(name, rule.level, *place) for place in rule.check(spec)]
        if found:  # the later rules read what the earlier ones ask for
            break
    return found


def refused(spec: Any) -> str:
    """Why the network has no form, "" if it has one."""
    found = findings(spec)
    return f"{found[0].message}; {found[0].advice}" if found else ""
