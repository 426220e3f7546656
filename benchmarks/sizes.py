"""The metric of each recipe over the bytes of its model, by hidden size.

Marks the smallest that is within 1 point, or 1 %, of the best. Bytes are those of the weights in
int8, as the native kernel has them. The metrics are those of `tasks.py`, in float32 and in int8.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import machine
import numpy as np
from tasks import FP32, INT8, TASKS, Task, arguments, chosen, in_float32, in_int8, trained

from edge_lstm.results.plots import save_figure

SIZES = (4, 8, 16, 32, 64, 128)
Point = dict[str, float]


def measured(name: str, hidden_size: int, seeds: int, epochs: int | None) -> Point:
    """The mean metrics over seeds, the parameters and the bytes."""
    task = TASKS[name]
    values: dict[str, list[float]] = {FP32: [], INT8: []}
    for seed in range(seeds):
        overrides: dict[str, Any] = {"train.seed": seed, "model.hidden_size": hidden_size} | (
            {"train.epochs": epochs} if epochs else {}
        )
        with tempfile.TemporaryDirectory() as folder:
            run = trained(name, Path(folder) / "run", overrides)
            int8, weight_bytes = in_int8(run)
            values[FP32].append(task.metric(in_float32(run)))
            values[INT8].append(task.metric(int8))
    return {"parameters": run.spec.network.parameters, "bytes": weight_bytes} | {
        name: statistics.mean(found) for name, found in values.items()
    }


def smallest(task: Task, points: dict[int, Point]) -> int:
    """The hidden size of the smallest model that is good enough in int8.

    Its metric is within a point of the best float32 one if it is an accuracy, else within 1 %. If
    none is, the largest.
    """
    sign = 1 if task.higher_is_better else -1
    best = max(sign * p[FP32] for p in points.values())
    margin = 0.01 if task.higher_is_better else 0.01 * abs(best)
    return min(
        (size for size, p in points.items() if sign * p[INT8] >= best - margin), default=max(points)
    )


def draw(found: dict[str, dict[int, Point]], path: Path) -> None:
    from matplotlib.figure import Figure

    rows = -(-len(found) // 3)
    figure = Figure(figsize=(12, 3.4 * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, min(3, len(found)), squeeze=False)).ravel()
    for ax in axes[len(found) :]:
        ax.set_axis_off()
    for ax, (name, points) in zip(axes, found.items(), strict=False):
        small = smallest(TASKS[name], points)
        kilobytes = [p["bytes"] / 1000 for p in points.values()]
        for column, style in ((FP32, "o-"), (INT8, "s--")):
            ax.plot(
                kilobytes, [p[column] for p in points.values()], style, markersize=4, label=column
            )
        ax.axvline(points[small]["bytes"] / 1000, color="0.6", linewidth=1, linestyle=":")
        for size, p in points.items():
            ax.annotate(
                str(size),
                (p["bytes"] / 1000, p[INT8]),
                textcoords="offset points",
                xytext=(3, 5),
                fontsize=8,
            )
        ax.set(
            xscale="log",
            title=f"{name}: {small} units are enough",
            xlabel="kB of weights in int8",
            ylabel=TASKS[name].label,
        )
        ax.set_xticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
        ax.minorticks_off()
        ax.margins(x=0.08, y=0.1)
        ax.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    save_figure(figure, path)


def main() -> None:
    parser = arguments(__doc__, "sizes.py speakers --seeds 2", 3)
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=SIZES,
        metavar="H",
        help=f"hidden sizes (default: {SIZES})",
    )
    parser.add_argument(
        "--picture",
        type=Path,
        default=Path("build/sizes.png"),
        metavar="PNG",
        help="default: %(default)s",
    )
    options = parser.parse_args()
    print(machine.describe("torch", "numpy"))
    print(
        f"\n| recipe | metric | hidden | parameters | bytes in int8 | {FP32} | {INT8} | |\n"
        + "| --- " * 8
        + "|"
    )
    found: dict[str, dict[int, Point]] = {}
    for name in chosen(parser, options.recipes):
        points = {
            size: measured(name, size, options.seeds, options.epochs) for size in options.sizes
        }
        found[name] = points
        for size, p in points.items():
            mark = (
                "smallest within 1 point or 1 % of the best"
                if size == smallest(TASKS[name], points)
                else ""
            )
            cells = f"{p['parameters']:,.0f} | {p['bytes']:,.0f} | {p[FP32]:.4g} | {p[INT8]:.4g}"
            print(f"| {name} | {TASKS[name].label} | {size} | {cells} | {mark} |", flush=True)
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        draw(found, options.picture)
    print(f"\n{options.picture}")


if __name__ == "__main__":
    main()
