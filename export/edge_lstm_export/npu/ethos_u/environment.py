"""The environment of ExecuTorch, Vela and TOSA's reference model."""

from __future__ import annotations

from pathlib import Path

from ..worker.environment import Environment

ENVIRONMENT = Environment(
    tool="executorch",
    folder=Path(__file__).parent,
    pythons=((3, 11), (3, 11)),
    preferred="3.11",
    imports=(
        "from executorch.backends.arm.ethosu import EthosUPartitioner\n"
        "import tosa_reference_model\n"
        "from ethosu.vela import vela"
    ),
    download="400 MB",
    option=" --vendor ethos-u",
)
