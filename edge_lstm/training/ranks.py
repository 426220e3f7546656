"""Several processes that train together, the ranks, on one machine or on several.

On one machine Fabric starts them. On several, torchrun starts them on each.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edge_lstm_runtime.errors import ConfigError, DataError, TrainingError

from ..config.schema import Config
from ..config.sections import TrainConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric

TOKEN = ".ranks.tmp"  # a file that all ranks see for a moment
PATIENCE = 5.0  # seconds that a shared folder may take to show a file


def check_started(settings: TrainConfig) -> None:
    """Raise ConfigError if the processes that torchrun has started are not those of [train]."""
    asked = f"[train] devices = {settings.devices}, num_nodes = {settings.num_nodes}"
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        if settings.num_nodes > 1:
            raise ConfigError(
                f"{asked}: several machines train together if torchrun starts this command on each "
                "of them, as docs/configuration.md shows; or set num_nodes = 1"
            )
        return
    started = int(os.environ["WORLD_SIZE"])
    here = int(os.environ.get("LOCAL_WORLD_SIZE", settings.devices))
    if started != settings.devices * settings.num_nodes or here != settings.devices:
        nodes = started // here
        raise ConfigError(
            f"{asked}: torchrun has started {started} processes, {here} on each machine; add "
            f"--set train.devices={here} --set train.num_nodes={nodes}, or start others"
        )


def check_alike(fabric: Fabric, config: Config, fingerprint: str, out: Path) -> None:
    """All ranks have the same data, the same configuration and the same folder `out`.

    If not, the first rank raises DataError, ConfigError or TrainingError. The others end without a
    word.
    """
    if fabric.world_size == 1:
        return
    values = config.to_dict()
    values["data"] = {k: v for k, v in values["data"].items() if k not in config.data.PATHS}
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    names = _gathered(fabric, hashlib.sha256(socket.gethostname().encode()).hexdigest())
    for what, found, error in (
        ("data", _gathered(fabric, fingerprint), DataError),
        ("configuration", _gathered(fabric, digest), ConfigError),
    ):
        other = [rank for rank, one in enumerate(found) if one != found[0]]
        if other:
            where = f" on {_another(names, other[0])}"
            _stop(
                fabric,
                error(
                    f"the {what} of process {other[0]}{where} differs from that of process 0 "
                    f"({found[other[0]][:12]}, and {found[0][:12]}); give every machine the same "
                    f"{'files' if what == 'data' else what}"
                ),
            )
    _check_shared(fabric, out)


def _another(names: list[str], rank: int) -> str:
    return "the same machine" if names[rank] == names[0] else "another machine"


def _check_shared(fabric: Fabric, out: Path) -> None:
    """The ranks see the same folder."""
    token = out / TOKEN
    text = _gathered(fabric, os.urandom(32).hex())[0]
    if fabric.is_global_zero:
        token.write_text(text)
    fabric.barrier()
    end = time.monotonic() + PATIENCE
    while not (seen := _is(token, text)) and time.monotonic() < end:
        time.sleep(0.1)
    found = _gathered(fabric, ("1" if seen else "0") * 64)
    if fabric.is_global_zero:
        token.unlink()
    blind = [rank for rank, one in enumerate(found) if one[0] == "0"]
    if blind:
        _stop(
            fabric,
            TrainingError(
                f"{out}: process {blind[0]} does not see the files of process 0 there; name a "
                "folder that all machines share"
            ),
        )


def _is(token: Path, text: str) -> bool:
    try:
        return token.read_text() == text
    except OSError:
        return False


def _gathered(fabric: Fabric, digest: str) -> list[str]:
    """64 hexadecimal digits of each rank."""
    import torch

    own = torch.frombuffer(bytearray.fromhex(digest), dtype=torch.uint8).to(fabric.device)
    return [bytes(row.tolist()).hex() for row in fabric.all_gather(own)]


def _stop(fabric: Fabric, error: Exception) -> None:
    if fabric.is_global_zero:
        raise error
    sys.exit(2)


@contextlib.contextmanager
def told_together(fabric: Fabric) -> Iterator[None]:
    """Raises TrainingError in place of the error of a library if another rank has ended."""
    try:
        yield
    except RuntimeError as e:
        if fabric.world_size > 1 and _is_of_connection(e):
            raise TrainingError(
                f"process {fabric.global_rank} of {fabric.world_size} has lost another one, which "
                "has ended, or whose machine can't be reached; see the messages there, and go on "
                "with --resume"
            ) from e
        raise


def _is_of_connection(error: RuntimeError) -> bool:
    import torch.distributed

    words = ("gloo", "Connection", "Socket", "NCCL")
    return isinstance(error, torch.distributed.DistError) or any(w in str(error) for w in words)
