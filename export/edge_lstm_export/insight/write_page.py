"""The looks as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from edge_lstm_runtime import ConfigError
from edge_lstm_runtime.files import atomic_write, failure

from ..report import page
from . import Inside, plots


def write_page(inside: Inside, out: str | Path) -> None:
    """Raises ConfigError if `out` can't be written."""
    memory = inside.memory
    out = Path(out)
    text = memory.text is not None
    looks = [
        (
            "Gates",
            "How far each gate is open, over all steps and units of the test split: "
            "0 is shut, 1 open; the candidate g goes from −1 to 1. "
            "Low and high: within 0.1 of the ends.",
            inside.gates.sentences(),
            plots.plot_gates(inside.gates),
        ),
        (
            "What the cell remembers",
            f"The cell c of every unit while {memory.name} is read from the zero state"
            + (
                f", the first {memory.steps} of {memory.length:,} steps"
                if memory.steps < memory.length
                else ""
            )
            + "; the units with the longest memory on top."
            + (" Above it the bits that each character took." if text else "")
            + (
                f" The first {plots.MOST_CHARACTERS} characters are shown."
                if text and memory.steps > plots.MOST_CHARACTERS
                else ""
            ),
            memory.cell_sentences(),
            plots.plot_cell(memory, inside.gates.memory),
        ),
        (
            f"How long one {'character' if text else 'sample'} is felt",
            "How far the cell moves when one character is replaced by another, "
            "over the steps that follow it, for "
            f"{len(memory.starts)} characters of {memory.name}."
            if text
            else "The derivative of the cell by one sample, in standard deviations, "
            "over the steps that follow it, for "
            f"{len(memory.starts)} samples of {memory.name}.",
            memory.effect_sentences(),
            plots.plot_effect(memory),
        ),
        *_inputs(inside),
        (
            "How far back the gradient reaches",
            "The derivative of the loss at one step by the states before it: "
            f"medians over {inside.gradients.windows} windows of the test split.",
            inside.gradients.sentences(),
            plots.plot_gradients(inside.gradients),
        ),
    ]
    html = page.render(
        "inspect.html.j2",
        name=inside.run.path.resolve().name,
        network=inside.spec.network,
        inputs=inside.spec.inputs.names,
        characters=len(inside.spec.answer.classes) if text else 0,
        task=inside.run.config.model.task,
        looks=[
            (title, caption, sentences, page.png(figure))
            for title, caption, sentences, figure in looks
        ],
    )
    try:
        with atomic_write(out) as file:
            file.write(html.encode())
    except OSError as e:
        raise ConfigError(f"can't write {out}: {failure(e)}") from e


def _inputs(inside: Inside) -> Iterator[tuple[str, str, list[str], Figure]]:
    """The looks at the input: which channels matter, or how much context is used."""
    if channels := inside.channels:
        yield (
            "Which channels matter",
            "The task's metric on the test split while one channel after the other "
            "is held at its training mean."
            + (
                f" The {plots.MOST_CHANNELS} that matter most are shown."
                if inside.spec.inputs.size > plots.MOST_CHANNELS
                else ""
            ),
            channels.sentences(),
            plots.plot_channels(channels),
        )
    if context := inside.context:
        yield (
            "How much context it uses",
            "The bits that the next character takes, so many characters after the state was reset, "
            f"at {context.places:,} places of the test split. "
            "Dashed: with all of the text before it known.",
            context.sentences(),
            plots.plot_context(context),
        )
