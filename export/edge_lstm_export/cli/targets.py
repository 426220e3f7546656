"""List the NPU targets and the number formats they take."""

from __future__ import annotations

import argparse

from ..npu.targets import Target, known, limits, schemes, source, targets
from ._shared import C, check_target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "List the NPU targets and the number formats that each takes; "
        "with a name, all that is known of one and from where."
    )
    parser.epilog = "examples:\n  edge-lstm targets\n  edge-lstm targets rv1106"
    parser.add_argument("name", nargs="?", metavar="NAME", help="one target")


def main(arguments: argparse.Namespace) -> int:
    if arguments.name == C:
        print(
            "c\n"
            "  C99 source for any 32- or 64-bit CPU: edge-lstm export RUN --target c -o FOLDER\n"
            "  schemes        float32, int8"
        )
        return 0
    if arguments.name is not None:
        check_target(arguments.name)
        print(_one_target(known(arguments.name)))
        return 0
    print(
        f"{'target':<10}{'cores':<7}{'schemes':<21}{'LSTM operator':<16}{'Python there':<14}boards"
    )
    for t in targets().values():
        print(
            f"{t.name:<10}{t.cores or '?':<7}{', '.join(t.schemes):<21}{t.lstm:<16}"
            f"{t.python:<14}{t.boards or '?'}"
        )
    print(
        f"{C:<10}{'-':<7}{'float32, int8':<21}{'-':<16}{'not needed':<14}"
        "no NPU: any CPU, any microcontroller"
    )
    print(
        "\nPython there: rknn-toolkit-lite2 runs on its boards. "
        "observed: by the converter, not from the manual. ?: unknown."
    )
    return 0


def _one_target(t: Target) -> str:
    """All facts of the table on a target, each with its sources, then the documents."""
    formats = f" ({', '.join(t.lstm_formats)})" if t.lstm_formats else ""
    manual = {True: f"listed{formats}", False: "not listed", None: "unknown"}[t.lstm_manual]
    meanings = schemes()
    rows = [
        ("generation", "generation", str(t.generation or "unknown")),
        ("cores", "cores", str(t.cores or "unknown")),
        ("TOPS", "tops", f"{t.tops:g}" if t.tops else "unknown"),
        *(
            ("scheme" if n else "schemes", "" if n else "schemes", f"{s}: {meanings[s]}")
            for n, s in enumerate(t.schemes)
        ),
        (
            "simulated",
            "",
            f"{', '.join(t.verified) or 'none'} "
            "(streamed on the simulator in this project's tests)",
        ),
        *(("not offered", "", f"{s}: {reason}") for s, reason in t.refused.items()),
        (
            "LSTM operator",
            "lstm",
            f"in the manual: {manual}; by the converter: on the {'NPU' if t.lstm_npu else 'CPU'}",
        ),
        *(("", "", f"stored as float16 in {s}") for s in t.lstm_float16),
        ("Python", "python", f"{t.python} (rknn-toolkit-lite2 on its boards)"),
        ("library", "runtime", t.runtime or "unknown"),
        ("boards", "boards", t.boards or "unknown"),
    ]
    if t.reshape:
        rows.append(
            (
                "alignment",
                "reshape",
                ", ".join(f"{n} in {s}" for s, n in t.reshape.items())
                + " (of a size where four dimensions end)",
            )
        )
    limit = limits()
    rows += [
        (
            "limits",
            "",
            "of the LSTM operator, the same in every chapter that lists it  [operators]",
        ),
        (
            "",
            "",
            f"batch 1 or a multiple of {limit.batch_multiple}; "
            f"steps, batch, inputs and hidden up to {limit.size}",
        ),
        (
            "",
            "",
            f"advised: hidden a multiple of {limit.hidden_multiple}, "
            f"steps of {limit.steps_multiple}",
        ),
    ]
    lines = [t.name]
    for label, fact, text in rows:
        keys = ", ".join(key.partition(":")[0] for key in t.sources.get(fact, ()))
        lines.append(f"  {label:<15}{text}" + (f"  [{keys}]" if keys else ""))
    used = dict.fromkeys(key for keys in t.sources.values() for key in keys)
    if not any(key.startswith("operators") for key in used):
        used["operators"] = None
    return "\n".join([*lines, "sources", *(f"  {key:<18}{source(key)}" for key in used)])
