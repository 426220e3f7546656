"""The table of operators in docs/rknn-rules.md, made from operators.toml."""

from __future__ import annotations

from edge_lstm_export.npu.rknn.lint_operators import OUTCOMES, operators

WORDS = {
    "npu": "NPU",
    "cpu": "CPU",
    "error": "error line",
    "refused": "refused",
    "crash": "crash",
}


def document_rows() -> list[str]:
    """Operators of the same outcome share a row. Those of one outcome everywhere are first."""
    groups: dict[str, list[str]] = {}
    for name, row in operators().items():
        usual = next(WORDS[o] for o in OUTCOMES if "*" in row.get(o, ()))
        others = [
            f"{WORDS[o]} ({', '.join(where)})"
            for o in OUTCOMES
            if (where := [w for w in row.get(o, ()) if w != "*"])
        ]
        groups.setdefault("; ".join([usual, *others]), []).append(f"`{name}`")
    ordered = sorted(
        groups,
        key=lambda words: (
            words.count(";") > 0,
            [*WORDS.values()].index(words.split(";")[0]),
            words,
        ),
    )
    return [f"| {words} | {', '.join(groups[words])} |" for words in ordered]
