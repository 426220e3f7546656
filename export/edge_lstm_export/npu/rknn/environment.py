"""The environment of rknn-toolkit2."""

from __future__ import annotations

from pathlib import Path

from ..worker.environment import Environment

ENVIRONMENT = Environment(
    tool="rknn-toolkit2",
    folder=Path(__file__).parent,
    # Those with the vendor's wheel, our worker's syntax, and a locked build of torch for the CPU.
    pythons=((3, 11), (3, 12)),
    preferred="3.11",
    imports="from rknn.api import RKNN\nfrom ruamel.yaml import YAML",
    download="400 MB",
)
