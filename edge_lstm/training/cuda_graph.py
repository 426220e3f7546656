"""A training step recorded once as a CUDA graph and then replayed.

Launching the kernels of a small net takes longer than the kernels do.

PyTorch's notes on CUDA ("CUDA graphs") say how a step is recorded: it uses the same memory each
time, nothing in it waits for the device, and a few steps run on another stream beforehand.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edge_lstm_runtime.errors import TrainingError

from ..network import State
from .batches import Batch

WARM_UP = 3  # steps before the recording, in which libraries set up what they can't while it runs
SAME = 1e-3  # share of the loss by which the first replay may differ from the step without a graph


class Recorded:
    """Takes the place of `update` for batches of one shape.

    forward: gives a batch's loss and the states that it leaves. update: also makes a step of the
    optimizer, and gives the loss, the gradients' norm and the states. zero: the states of a batch
    that begins at zero, (N, size) each.
    """

    def __init__(
        self,
        forward: Callable[[Batch], tuple[Tensor, State]],
        update: Callable[[Batch], tuple[Tensor, Tensor, State]],
        zero: State,
    ) -> None:
        self._forward = forward
        self._update = update
        self._zero = zero
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._graph = torch.cuda.CUDAGraph()
        self._given: Batch  # the memory that the graph reads,
        self._found: tuple[Tensor, Tensor, State] | None = None  # and that it writes
        self._steps = 0

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor, State]:
        """As `update`. The states that it returns are valid until the next call.

        Raises TrainingError if the step can't be recorded, or if recording changes it.
        """
        x, y, mask, last = batch[:4]
        share = torch.full((), float(batch.share), device=x.device)
        given = Batch(x, y, mask, last, share, batch.begin or self._zero)
        self._steps += 1
        if self._steps <= WARM_UP:
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                found = self._update(given)
            torch.cuda.current_stream().wait_stream(self._stream)
            return found
        expected = None
        if self._found is None:
            with torch.no_grad():
                expected = self._forward(given)[0]
            self._found = self._record(given)
        for place, tensor in zip(_tensors(self._given), _tensors(given), strict=True):
            place.copy_(tensor)
        self._graph.replay()
        loss, norm, left = self._found
        if expected is not None and not torch.allclose(loss, expected, rtol=SAME, equal_nan=True):
            raise TrainingError(
                "[train] cuda_graph = true: "
                f"the recorded step has a loss of {float(loss):g}, "
                f"and without a graph it is {float(expected):g}; set it to false, and report this"
            )
        return loss.clone(), norm.clone(), left

    def _record(self, given: Batch) -> tuple[Tensor, Tensor, State]:
        """Record the step without computing it. given: the batch, its share a tensor."""
        x, y, mask, last, share, *begin = (tensor.clone() for tensor in _tensors(given))
        state = dict(zip(self._zero, begin, strict=True))
        self._given = Batch(x, y, mask, last, share, state)
        try:
            with torch.cuda.graph(self._graph, stream=self._stream):
                return self._update(self._given)
        except RuntimeError as e:
            raise TrainingError(
                "[train] cuda_graph = true: "
                f"the step can't be recorded ({str(e).splitlines()[0]}); set it to false"
            ) from e


def _tensors(batch: Batch) -> list[Tensor]:
    """All that a step reads."""
    begin = (batch.begin or {}).values()
    return [batch.x, batch.y, batch.mask, batch.last, torch.as_tensor(batch.share), *begin]
