"""Finds in an ONNX graph, before a conversion, all that the converter refuses or takes badly.

A rule is a function of the graph's facts. For each place that breaks it, it yields a message (what,
and which value) and an advice (what to change). Its docstring is its documentation.

error    the conversion would fail, crash, log an error, leave the target's limits, or not be of the
         scheme
warning  it works, but slower or wastefully, or only with care

Facts from the manual name it. All others were observed with rknn-toolkit2 2.5.0.
docs/rknn-rules.md has the table.
"""

from __future__ import annotations

import onnx

from edge_lstm_runtime import ConfigError
from edge_lstm_runtime.near import did_you_mean

from ..finding import Finding, Rule
from .lint_graph import Graph
from .lint_operators import OPERATORS
from .lint_recurrent import RECURRENT
from .lint_whole import WHOLE
from .targets import known, table

RULES: dict[str, Rule] = {**WHOLE, **OPERATORS, **RECURRENT}


def lint(graph: onnx.ModelProto, target: str, scheme: str) -> list[Finding]:
    """Every rule that the graph breaks on the target in the scheme, in the order of RULES.

    Raises ConfigError for an unknown target or scheme.
    """
    row = known(target)
    schemes = table().schemes
    if scheme not in schemes:
        hint = did_you_mean(scheme, schemes)
        raise ConfigError(f"scheme {scheme!r} is unknown; {hint}known: {', '.join(schemes)}")
    facts = Graph(graph, row, scheme)
    return [
        Finding(name, rule.level, message, advice)
        for name, rule in RULES.items()
        for message, advice in rule.check(facts)
    ]
