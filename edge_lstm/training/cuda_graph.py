"""A training step recorded once as a CUDA graph and then replayed: launching the kernels of a small net takes longer than they do.

What a recorded step must keep to stands in PyTorch's documentation ("CUDA graphs" in its notes on CUDA): the same memory each time, nothing
that waits for the device, a few steps on another stream beforehand. Written after that, and never run yet: there was no GPU.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edge_lstm_runtime.errors import TrainingError

from ..network import State

WARM_UP = 3  # steps before the recording, in which libraries set up what they can't while it runs
SAME = (
    1e-3  # of the loss: the most by which the first replay may differ from the step without a graph
)


class Recorded:
    """Takes the place of `update` for batches of one shape.

    forward: (x, y, mask, last, share, state) -> the loss and the state that is left; update: the same, and a step of the optimizer ->
    the loss, the gradients' norm and the state. zero: the state of a batch that has none, (N, size) each.
    """

    def __init__(
        self,
        forward: Callable[..., tuple[Tensor, State]],
        update: Callable[..., tuple[Tensor, Tensor, State]],
        zero: State,
    ) -> None:
        self._forward, self._update, self._zero = forward, update, zero
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._graph = torch.cuda.CUDAGraph()
        self._given: tuple[Tensor, ...] = ()  # the memory that the graph reads,
        self._found: tuple[Tensor, Tensor, State] | None = None  # and that it writes
        self._steps = 0

    def __call__(
        self, x: Tensor, y: Tensor, mask: Tensor, last: Tensor, share: float, state: State | None
    ) -> tuple[Tensor, Tensor, State]:
        """The state that it returns is valid until the next call. Raises TrainingError where recording fails or changes the step."""
        before = state or self._zero
        batch = (x, y, mask, last, torch.full((), share, device=x.device), *before.values())
        self._steps += 1
        if self._steps <= WARM_UP:
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                found = self._update(*batch[:5], before)
            torch.cuda.current_stream().wait_stream(self._stream)
            return found
        expected = None
        if self._found is None:
            with torch.no_grad():
                expected = self._forward(*batch[:5], before)[0]
            self._found = self._record(batch)
        for place, tensor in zip(self._given, batch, strict=True):
            place.copy_(tensor)
        self._graph.replay()
        loss, norm, left = self._found
        if expected is not None and not torch.allclose(loss, expected, rtol=SAME, equal_nan=True):
            differ = f"the recorded step has a loss of {float(loss):g}, and without a graph it is {float(expected):g}"
            raise TrainingError(
                f"[train] cuda_graph = true: {differ}; set it to false, and report this"
            )
        return loss.clone(), norm.clone(), left

    def _record(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, State]:
        """Nothing is computed yet."""
        self._given = tuple(tensor.clone() for tensor in batch)
        try:
            with torch.cuda.graph(self._graph, stream=self._stream):
                state = dict(zip(self._zero, self._given[5:], strict=True))
                return self._update(*self._given[:5], state)
        except RuntimeError as e:
            raise TrainingError(
                f"[train] cuda_graph = true: the step can't be recorded ({str(e).splitlines()[0]}); set it to false"
            ) from e
