"""The estimate for boards, against numbers by hand and documents that are named."""

from __future__ import annotations

import pytest

from edge_lstm_export.measure.estimate import BoardCPU, boards, cited, estimates, least_us

# 1 GHz, 4 multiply-accumulates and 16 bytes a cycle, 1 MB of cache, 2 GB/s of memory.
CPU = BoardCPU("made up", "none", 1000, 1_000_000, 4, 16, 2.0)


@pytest.mark.parametrize(
    ("macs", "scheme", "us"),
    [
        # 8,000 MACs / 4 a cycle = 2,000 cycles of 1 ns; 32,000 bytes / 16 = 2,000 cycles
        (8_000, "float32", 2.0),
        # 8,000 bytes / 16 = 500 cycles
        (8_000, "int8", 0.5),
        # 1.2 MB, 200 kB more than the cache, at 2 bytes a nanosecond; the loads take 75 us
        (300_000, "float32", 100.0),
        # 300 kB in the cache: 18,750 cycles
        (300_000, "int8", 18.75),
    ],
)
def test_by_hand(macs: int, scheme: str, us: float) -> None:
    assert least_us(CPU, macs, scheme) == pytest.approx(us)


def test_what_the_table_lacks_is_left_out() -> None:
    cpu = BoardCPU("made up", "none", 500, 1000, 2, None, None)
    assert least_us(cpu, 8_000, "float32") == pytest.approx(8.0)  # 4,000 cycles of 2 ns
    assert least_us(cpu, 8_000, "int8") is None
    # Without `load_bytes` the memory still counts, for what the cache of 1,000 bytes lacks.
    slow = BoardCPU("made up", "none", 500, 1000, 2, None, 0.5)
    assert least_us(slow, 8_000, "int8") == pytest.approx(14.0)


def test_the_lstm_of_64_units_on_a_raspberry_pi_5() -> None:
    """8 inputs, 4 outputs: 18,688 MACs and 192 more in the cell.

    A Cortex-A76 does 8 a cycle and loads 32 bytes: 2,360 cycles of 1 / 2.4 ns either way.
    """
    (found,) = (e for e in estimates(18_880) if e.board == "Raspberry Pi 5")
    assert found.core == "Cortex-A76"
    assert found.us["float32"] == pytest.approx(0.983, abs=1e-3)
    assert found.us["int8"] == pytest.approx(0.246, abs=1e-3)


def test_every_figure_has_a_source() -> None:
    named = cited()
    assert all(named.values())
    for key, cpu in boards().items():
        facts = [f for f in ("mhz", "cache", "memory") if getattr(cpu, f) is not None]
        assert [f for f in facts if f"board.{key}.{f}" not in named] == []
    assert {name.split(".")[1] for name in named if name.startswith("core.")} == {
        "a76",
        "a72",
        "a55",
        "a53",
        "a7",
    }
