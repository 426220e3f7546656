"""The trainer against a bare PyTorch loop, in tokens per second.

Both have the same model, optimizer, clipping and batches, and run in turns in one process.

A token is one step of one sequence. Validation, checkpoints between epochs and set-up are in
neither figure. The first epoch of each turn warms up and does not count.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import time
from pathlib import Path

import machine
import numpy as np
import torch

from edge_lstm import CompactNet, load_config, load_data, train
from edge_lstm.config.schema import Config
from edge_lstm.data.load import make_spec
from edge_lstm_runtime import ModelSpec

TARGET = 0.95
CLIP = 1.0
RATE = 1e-3
DECAY = 0.01
LSTM_ALONE = "LSTM alone, forward and backward"
GRAPH = "trainer, CUDA graph"


def configuration(
    folder: Path, arguments: argparse.Namespace, carry: float, *, graph: bool = False
) -> Config:
    sequences = arguments.batches * arguments.batch
    extra = 4  # for validation and test
    rng = np.random.default_rng(0)
    x = rng.standard_normal((sequences + 2 * extra, arguments.steps, arguments.inputs))
    np.savez(folder / "data.npz", x=x, y=np.arange(len(x)) % 4)
    share = extra / len(x)
    (folder / "config.toml").write_text(
        f"""
        [data]
        source = "npz"
        path = "data.npz"
        [data.split]
        by = "group"
        val = {share}
        test = {share}
        [model]
        task = "classify"
        hidden_size = {arguments.hidden}
        num_layers = {arguments.layers}
        [train]
        epochs = {arguments.epochs}
        batch_size = {arguments.batch}
        learning_rate = {RATE}
        weight_decay = {DECAY}
        clip_norm = {CLIP}
        carry = {carry}
        accelerator = "{arguments.device}"
        precision = "{arguments.precision}"
        cuda_graph = {str(graph).lower()}
        threads = {torch.get_num_threads()}
        """
    )
    return load_config(folder / "config.toml")


def ours(config: Config, tokens: int) -> list[float]:
    """Tokens per second of each epoch but the first, from the run's own history."""
    with tempfile.TemporaryDirectory() as folder:
        train(config, Path(folder) / "run", quiet=True)
        with (Path(folder) / "run" / "history.csv").open(newline="") as file:
            return [tokens / float(row["seconds"]) for row in csv.DictReader(file)][1:]


def bare(
    spec: ModelSpec, x: torch.Tensor, y: torch.Tensor, arguments: argparse.Namespace, *, clip: bool
) -> list[float]:
    """The loop that one would write by hand.

    Shuffle, slice, forward, loss at every step, backward, clip, step.
    """
    torch.manual_seed(0)
    net = CompactNet(spec).to(x.device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    rates = []
    for _ in range(arguments.epochs):
        start = time.perf_counter()
        order = torch.randperm(len(x)).to(x.device)
        total = torch.zeros((), device=x.device)
        for k in range(0, len(x), arguments.batch):
            index = order[k : k + arguments.batch]
            optimizer.zero_grad()
            with torch.autocast(
                x.device.type, torch.bfloat16, enabled=arguments.precision == "bf16"
            ):
                outputs = net(x[index])[0]
            loss = torch.nn.functional.cross_entropy(
                outputs.float().flatten(0, 1), y[index].repeat_interleave(x.shape[1])
            )
            loss.backward()  # type: ignore[no-untyped-call]
            if clip:
                torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP)
            optimizer.step()
            total += loss.detach()
        assert np.isfinite(total.item())
        rates.append(x.shape[0] * x.shape[1] / (time.perf_counter() - start))
    return rates[1:]


def lstm_alone(spec: ModelSpec, x: torch.Tensor, arguments: argparse.Namespace) -> list[float]:
    """PyTorch's own LSTM (cuDNN's on a GPU), forward and backward through it.

    No head, no loss, no optimizer, no shuffling.
    """
    sizes = spec.inputs.feature_size, arguments.hidden, arguments.layers
    lstm = torch.nn.LSTM(*sizes, batch_first=True).to(x.device)
    rates = []
    for _ in range(arguments.epochs):
        start = time.perf_counter()
        for batch in x.split(arguments.batch):
            lstm.zero_grad()
            with torch.autocast(
                x.device.type, torch.bfloat16, enabled=arguments.precision == "bf16"
            ):
                hidden = lstm(batch)[0]
            hidden.backward(torch.ones_like(hidden))
        if x.device.type == "cuda":
            torch.cuda.synchronize()
        rates.append(x.shape[0] * x.shape[1] / (time.perf_counter() - start))
    return rates[1:]


def measure(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Tokens per second of each loop, a figure per turn, in the order of the turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("plain", "carry", "graph"):
            (folder / kind).mkdir()
        config = configuration(folder / "plain", arguments, 0.0)
        carrying = configuration(folder / "carry", arguments, 0.5)
        splits = load_data(config)
        spec = make_spec(config, splits)
        assert len(splits.train) == arguments.batches * arguments.batch
        x = torch.from_numpy(np.stack([s.x for s in splits.train]).astype(np.float32)).to(
            arguments.device
        )
        y = torch.tensor([s.label for s in splits.train], device=arguments.device)
        tokens = x.shape[0] * x.shape[1]
        loops = {
            "bare loop": lambda: bare(spec, x, y, arguments, clip=True),
            "trainer": lambda: ours(config, tokens),
            "trainer, state carried (its default)": lambda: ours(carrying, tokens),
            "bare loop without clipping": lambda: bare(spec, x, y, arguments, clip=False),
            LSTM_ALONE: lambda: lstm_alone(spec, x, arguments),
        }
        if arguments.device == "cuda":
            recorded = configuration(folder / "graph", arguments, 0.0, graph=True)
            loops[GRAPH] = lambda: ours(recorded, tokens)
        rates: dict[str, list[float]] = {label: [] for label in loops}
        order = list(loops)
        for turn in range(arguments.turns):
            for label in order[turn % len(order) :] + order[: turn % len(order)]:
                rates[label].append(statistics.median(loops[label]()))
    return rates


def of_bare(rates: dict[str, list[float]], label: str) -> float:
    """The median over the turns of a loop's rate over the bare loop's."""
    return statistics.median(a / b for a, b in zip(rates[label], rates["bare loop"], strict=True))


def parse(description: str | None, epilog: str, **defaults: int) -> argparse.Namespace:
    """The command line. defaults: those that differ from this benchmark's."""
    parser = argparse.ArgumentParser(description=description, epilog=epilog)
    for name, default, what in (
        ("hidden", 256, "units"),
        ("layers", 1, "layers"),
        ("inputs", 16, "channels"),
        ("batch", 32, "sequences in a batch"),
        ("steps", 35, "steps in a sequence"),
        ("batches", 24, "batches in an epoch"),
        ("epochs", 4, "epochs in a turn; the first does not count"),
        ("turns", 5, "turns of each loop"),
    ):
        default = defaults.get(name, default)
        parser.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help=f"{what} (default: {default})"
        )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s"
    )
    parser.add_argument(
        "--precision", choices=("fp32", "bf16"), default="fp32", help="default: %(default)s"
    )
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: this PyTorch sees no GPU")
    return arguments


def place(arguments: argparse.Namespace) -> str:
    """The device that computed, in words."""
    return (
        torch.cuda.get_device_name()
        if arguments.device == "cuda"
        else f"{torch.get_num_threads()} threads of the CPU"
    )


def main() -> None:
    arguments = parse(__doc__, "example: python benchmarks/trainer.py --hidden 64 --turns 9")
    print(machine.describe("torch", "lightning-fabric"))
    print(
        f"{arguments.layers} x {arguments.hidden} units, {arguments.inputs} inputs, "
        f"batch {arguments.batch} x {arguments.steps} steps, "
        f"{arguments.precision}, {place(arguments)}; medians of {arguments.turns} turns "
        f"of {arguments.epochs - 1} epochs of {arguments.batches} batches\n"
    )
    rates = measure(arguments)
    print(f"{'loop':<38}{'tokens/s':>10}{'of bare':>9}")
    for label, values in rates.items():
        share = of_bare(rates, label)
        note = (
            f"   target >= {TARGET}: {'met' if share >= TARGET else 'MISSED'}"
            if label == "trainer"
            else ""
        )
        print(f"{label:<38}{statistics.median(values):>10.0f}{share:>9.2f}{note}")


if __name__ == "__main__":
    main()
