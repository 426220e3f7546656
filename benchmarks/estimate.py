"""The report's formula for boards, tried on this machine: its least time beside the step in C.

A data sheet's peaks are replaced by this machine's own, measured in the same run: bytes a
nanosecond from the first-level cache, and multiply-accumulates a nanosecond.
"""

from __future__ import annotations

import argparse

import kernel

from edge_lstm_export.measure.estimate import BoardCPU, least_us

INPUTS = 8
OUTPUTS = 4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python benchmarks/estimate.py"
    )
    parser.parse_args()
    rows = kernel.inside_c(*kernel.SIZES)
    best = rows[0]["kernel"]  # the fastest is first
    small = next(row for row in rows if row["hidden"] == 16 and row["precision"] == "float32")
    rate = _float(small, "model_bytes") / _float(small, "read_ns")
    macs = 4 * 16 * (INPUTS + 16) / _float(small, "mac_ns")
    here = BoardCPU("here", str(best), 1000.0, 1 << 62, macs, rate, None)
    print(f"kernel {best}: {rate:.0f} bytes and {macs:.0f} multiply-accumulates a nanosecond\n")
    print(
        "| hidden | scheme | at least, ns | step in C, ns | step / least |\n" + "|" + " --- |" * 5
    )
    for row in rows:
        if row["kernel"] != best:
            continue
        hidden = int(_float(row, "hidden"))
        scheme = str(row["precision"])
        products = 4 * hidden * (INPUTS + hidden) + hidden * OUTPUTS
        least = 1e3 * (least_us(here, products, scheme) or 0.0)
        step = _float(row, "step_ns")
        print(f"| {hidden} | {scheme} | {least:,.0f} | {step:,.0f} | {step / least:.1f} |")


def _float(row: dict[str, object], key: str) -> float:
    value = row[key]
    assert isinstance(value, int | float)
    return float(value)


if __name__ == "__main__":
    main()
