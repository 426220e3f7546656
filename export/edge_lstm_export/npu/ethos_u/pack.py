"""What the bundle gets of a compiled model."""

from __future__ import annotations

from typing import Any

from ...work import Artifact
from ..converted import Packed

BOARD = ("pte", "tflite", "npz")  # of `Compiled.files_of`
_VELA = "Vela's estimate, not a measurement"


def pack(artifact: Artifact) -> Packed:
    """Beside the program on integers: ExecuTorch's, TFLite's and Vela's own file. A desktop gets
    TOSA's flatbuffer, which Vela takes for other configurations."""
    made: Any = artifact.converter
    name = f"{artifact.target}-{artifact.scheme}"
    summary = made.summary
    files = made.files_of
    clock = float(summary["core_clock"])
    time = f"{float(summary['cycles_total']) / clock * 1e6:.1f} us at {clock / 1e6:g} MHz"
    flash = float(summary["off_chip_flash_memory_used"]) + float(
        summary["on_chip_flash_memory_used"]
    )
    sram = float(summary["sram_memory_used"])
    dram = float(summary["dram_memory_used"])  # of some memory modes, with the weights
    memory = {"internal": round(1.024 * sram, 3), "weight": round(1.024 * (flash + dram), 3)}
    estimates = [
        ("cycles of a step", str(made.cycles)),
        ("time of a step", time),
        ("system configuration", f"{summary['system_config']}, {summary['memory_mode']}"),
        ("SRAM", f"{sram:.2f} KiB"),
        ("flash", f"{flash:.2f} KiB"),
        ("DRAM", f"{dram:.2f} KiB"),
        ("operators on the CPU", str(made.on_cpu)),
    ]
    facts: dict[str, Any] = {
        "recipe": {"io": {"form": artifact.form.name}},
        "memory_kb": memory,
        "estimates": [{"what": w, "value": v, "source": _VELA} for w, v in estimates],
    }
    return Packed(
        made.model,
        facts,
        members={f"{name}.flatbuffer": files["flatbuffer"]},
        beside={f"{name}.{kind}": files[kind] for kind in BOARD},
        versions=made.versions,
    )
