"""Nets of PyTorch: files of `torch.export.save` (.pt2), and modules in memory.

The graph of torch.export still has an LSTM, a GRU or an RNN as one operator. Files with a pickle
(.pt, .pth, ...) are never read: `refusal` says what to do. `archive` says what else torch
would run on reading a .pt2, and leaves it out.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_lstm_runtime.errors import ConversionError

from .. import Foreign
from .._sound import heard
from .archive import EXPORT, cleaned, is_pickle
from .walk import Walk

if TYPE_CHECKING:
    import torch

    from ...imported import Imported
    from .. import Float32

ENDINGS = (".pt2",)
PICKLES = (".pt", ".pth", ".ckpt", ".bin")


def refusal(path: Path) -> str:
    """Why a file of another ending is not taken, "" if it is none of PyTorch."""
    if path.suffix.lower() not in PICKLES or not path.is_file():
        return ""
    kind = is_pickle(path)
    return kind and f"is {kind}. It is not read, because it may run code; {EXPORT}"


def read(path: Path) -> Foreign:
    """Read a file of torch.export.save.

    Raises ConversionError for a damaged or an unsafe file, and naming all the parts that can't be
    taken.
    """
    if kind := is_pickle(path):
        raise ConversionError(
            f"{path}: is {kind}. It is not read, because it may run code; {EXPORT}"
        )
    archive = cleaned(path)
    import torch

    try:
        with _quiet():
            program = torch.export.load(archive)
    except Exception as e:  # anything at all, from an archive that someone else wrote
        why = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise ConversionError(f"{path}: can't be read by PyTorch {torch.__version__}: {why}") from e
    try:
        return _foreign(program)
    except ConversionError as e:
        raise ConversionError(f"{path}: {e}") from e


def from_module(module: torch.nn.Module, *example: Any) -> Foreign:
    """A net in memory, through torch.export. The module itself is left as it is.

    example: x, (1, T, F), (T, 1, F) or (T, F), or one step (1, F), and then the states that the
    module takes, in tuples as it takes them. Raises ConversionError if it can't be exported, or
    taken.
    """
    import torch
    from torch.utils._pytree import tree_map_only

    net = copy.deepcopy(module).cpu().eval()
    inputs = tree_map_only(torch.Tensor, lambda tensor: tensor.detach().cpu(), example)
    try:
        with _quiet():
            program = torch.export.export(net, inputs, strict=False)
    except Exception as e:  # anything at all: it runs the module
        why = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise ConversionError(f"torch.export can't export the module: {why}") from e
    return _foreign(program)


def from_torch(
    module: torch.nn.Module,
    example: torch.Tensor | tuple[Any, ...],
    *,
    samples: Float32 | str | Path | None = None,
    hop: int | None = None,
    rate: int | None = None,
) -> Imported:
    """A net in memory, proved to be the same here.

    example: as of `torch.export`: x, (1, T, F), (T, 1, F) or (T, F). Or, for a module that takes
    its states, a tuple: x (1, F) or (1, 1, F), then the states, (h, c) as a pair or not. All
    states are 0 at the start.
    samples: (T, F) float32, or a .npy, .csv or .wav file. None: they are made, and a note says so.
    hop, rate: of sound, as of `import_net`.

    Raises ConversionError for a part that can't be taken, for samples of a wrong shape, and for a
    net that answers otherwise here than in PyTorch.

    >>> import numpy as np, torch, edge_lstm_export as ex
    >>> class Net(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.lstm = torch.nn.LSTM(3, 8, batch_first=True)
    ...         self.head = torch.nn.Linear(8, 2)
    ...     def forward(self, x):
    ...         return self.head(self.lstm(x)[0])
    >>> samples = np.load("stream3.npy")  # (T, F) float32
    >>> net = ex.from_torch(Net(), torch.zeros(1, 10, 3), samples=samples)
    >>> net
    Imported('Net', values: 3 channels -> lstm 8 -> 2 answers)
    """
    from ...imported import imported

    sound = heard(samples, hop, rate)
    inputs = example if isinstance(example, tuple) else (example,)
    return imported(from_module(module, *inputs), Path(type(module).__name__), samples, sound)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch.export warns of its own ways with nn.LSTM."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _foreign(program: Any) -> Foreign:
    import torch
    from torch.export.graph_signature import OutputKind

    signature = program.graph_signature
    for spec in signature.output_specs:
        if spec.kind is not OutputKind.USER_OUTPUT:
            raise ConversionError(
                f"the net writes to {spec.target!r}: a state that it keeps itself is not taken; "
                "take it as an argument and return it"
            )
    stored = {**program.state_dict, **program.constants}
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    names |= signature.inputs_to_lifted_tensor_constants
    tensors = {}
    notes = []
    for name, target in names.items():
        tensor = stored[target].detach().cpu()
        if tensor.dtype == torch.float64:
            tensor = tensor.float()
            notes = ["The weights were float64. They are rounded to float32, in the original too."]
        tensors[name] = tensor
    inputs = [name for name in signature.user_inputs if isinstance(name, str)]
    outputs = [name for name in signature.user_outputs if isinstance(name, str)]
    if not inputs or not outputs:
        raise ConversionError("the net has no input or no output")
    walk = _walked(tensors, list(program.graph.nodes), inputs, outputs)
    network = walk.network()
    original = walk.original(f"PyTorch {torch.__version__.partition('+')[0]}", whole=network.whole)
    notes += walk.notes()
    nodes = {layer.name: walk.where[layer.name] for layer in network.layers}
    return Foreign(
        network,
        walk.weights,
        original,
        nodes,
        notes=tuple(notes),
        counts=walk.counts,
        length=walk.steps if network.whole else None,
    )


def _walked(
    tensors: dict[str, torch.Tensor], nodes: list[Any], inputs: list[str], outputs: list[str]
) -> Walk:
    """With the steps before the features in x, or else after them. Raises ConversionError."""
    x = next(n for n in nodes if n.name == inputs[0]).meta["val"]
    may_be_last = getattr(x, "ndim", 0) == 3 and x.is_floating_point() and x.shape[0] == 1
    tried = []
    for last in (False, True) if may_be_last else (False,):
        walk = Walk(dict(tensors), nodes, inputs, outputs, last)
        try:
            walk.run()
            walk.answer()
            return walk
        except ConversionError as e:
            tried.append((sum(map(len, walk.faults.values())), str(e)))
    raise ConversionError(min(tried, key=lambda t: t[0])[1])
