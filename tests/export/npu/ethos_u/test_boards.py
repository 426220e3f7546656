"""The boards of targets.toml, without the compiler."""

from __future__ import annotations

import re

import numpy as np
import pytest

from edge_lstm_export.npu.ethos_u.conversion import Conversion
from edge_lstm_export.npu.ethos_u.in_c import c_source
from edge_lstm_export.npu.ethos_u.targets import table, targets
from edge_lstm_export.npu.targets import known
from edge_lstm_runtime import ConfigError
from edge_lstm_runtime.cli import main
from helpers.ethos_u import raw
from helpers.paths import ROOT
from helpers.tosa_recorded import Recorded

BOARDS = {name: chip for name, chip in targets().items() if chip.is_board}
# board -> NPU, the clock of its configuration, and its own if a source says it
EXPECTED = {
    "corstone-300-u55": ("ethos-u55-128", 500, None),
    "corstone-300-u65": ("ethos-u65-256", 500, None),
    "corstone-320": ("ethos-u85-256", 1000, None),
    "imx93": ("ethos-u65-256", 1000, 800),
    "alif-e7-hp": ("ethos-u55-256", 400, 400),
    "alif-e7-he": ("ethos-u55-128", 160, 160),
    "alif-e8-hp": ("ethos-u55-256", 400, 400),
    "alif-e8-he": ("ethos-u55-128", 160, 160),
    "alif-e8-u85": ("ethos-u85-256", 400, 400),
    "himax-we2": ("ethos-u55-64", 400, 400),
}
# MHz, in the vela.ini that comes with Vela 5.1.0
CLOCKS = {
    "Ethos_U55_High_End_Embedded": 500,
    "Ethos_U65_Embedded": 500,
    "Ethos_U65_High_End": 1000,
    "Ethos_U65_Client_Server": 1000,
    "Ethos_U85_SYS_DRAM_Mid": 1000,
}
MODES = {"Shared_Sram", "Sram_Only", "Dedicated_Sram_384KB"}


def test_the_boards_and_their_npus():
    assert {n: (b.npu, b.clock_mhz, b.npu_mhz) for n, b in BOARDS.items()} == EXPECTED
    for board in BOARDS.values():
        chip = targets()[board.npu]
        assert not chip.is_board
        assert (board.macs, board.schemes, board.verified) == (
            chip.macs,
            chip.schemes,
            chip.verified,
        )


@pytest.mark.parametrize("chip", targets().values(), ids=list(targets()))
def test_a_configuration_is_velas_or_in_the_table(chip):
    assert chip.memory_mode in MODES
    if chip.section:
        assert chip.system_config not in CLOCKS
        assert chip.section["core_clock"] == chip.clock_mhz * 1e6
        ports = {chip.section[f"axi{n}_port"] for n in (0, 1)}
        assert {key.partition("_")[0] for key in chip.section} == {*ports, "core", "axi0", "axi1"}
    else:
        assert CLOCKS[chip.system_config] == chip.clock_mhz


def test_each_fact_of_a_board_has_its_sources():
    for board in BOARDS.values():
        stated = {"macs", "system_config", "boards"}
        stated |= {fact for fact in ("npu_mhz", "memory") if getattr(board, fact)}
        assert set(board.sources) == stated
        for keys in board.sources.values():
            assert keys
            assert all(table().source(key) for key in keys)
    used = {key for chip in targets().values() for keys in chip.sources.values() for key in keys}
    assert set(table().content["sources"]) == used
    assert set(table().content["vela"]) == {b.system_config for b in BOARDS.values() if b.section}


@pytest.mark.parametrize(
    ("board", "width", "sram", "flash"),
    # GB/s and GiB/s that alif-kit and alif-executorch print; a U55 has a port of 8 bytes, a U85
    # of 16, and two of them for the SRAM.
    [("alif-e7-hp", (8, 8, 1e9), 2.44, 0.39), ("alif-e8-u85", (32, 16, 2**30), 11.92, 0.72)],
)
def test_bandwidths_are_those_that_alif_has_published(board, width, sram, flash):
    section = BOARDS[board].section
    *bytes_of, giga = width
    found = [
        round(section["core_clock"] * section[f"{memory}_clock_scale"] * wide / giga, 2)
        for memory, wide in zip(("Sram", "OffChipFlash"), bytes_of, strict=True)
    ]
    assert found == [sram, flash]


def test_a_target_lists_its_boards(capsys):
    assert main(["targets", "ethos-u55-256"]) == 0
    told = capsys.readouterr().out
    assert re.search(
        r"^  boards +alif-e7-hp: .*; RTSS_HP_SRAM_MRAM \(400 MHz\), Shared", told, re.M
    )
    assert re.search(r"^  +alif-e8-hp: Alif Ensemble E4, E6, E8", told, re.M)
    assert main(["targets", "ethos-u85-2048"]) == 0
    assert re.search(r"^  boards +unknown$", capsys.readouterr().out, re.M)


def test_a_board_is_shown_with_its_sources(capsys):
    assert main(["targets", "imx93"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^  NPU +ethos-u65-256, MACs: 256 of int8 in a cycle  \[imx93\]$", told, re.M)
    assert re.search(r"^  NPU's clock +800 MHz  \[imx93-npu\]$", told, re.M)
    assert re.search(r"^  estimated +Ethos_U65_Client_Server \(1000 MHz\), Dedicated_", told, re.M)
    assert main(["targets", "corstone-320"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^  NPU's clock +unknown$", told, re.M)
    assert re.search(r"^  memory +unknown$", told, re.M)


def test_a_name_that_is_near():
    with pytest.raises(ConfigError, match=r"is unknown; did you mean 'alif-e[78]-hp'"):
        known("alif-e5-hp")


def test_the_worker_is_told_the_npu_and_the_section(random_model):
    spec, weights = random_model(1, 4)
    sizes = {"x": spec.feature_size, **spec.network.state}
    drawn = {name: np.zeros((5, size), np.float32) for name, size in sizes.items()}
    conversion = Conversion(spec, weights, drawn, BOARDS["alif-e7-he"], "a16w8", "fine")
    assert conversion.label == "alif-e7-he a16w8 fine"
    told = conversion.job["target"]
    assert told["accelerator"] == "ethos-u55-128"
    assert told["system_config"] == "RTSS_HE_SRAM_MRAM"
    assert (told["section"]["core_clock"], told["section"]["Sram_read_latency"]) == (160e6, 13)


@pytest.mark.parametrize(
    ("target", "npu", "family", "base"),
    [
        ("alif-e7-he", "ethos-u55-128", "Ethos-U55", "0x48102000"),
        ("alif-e8-u85", "ethos-u85-256", "Ethos-U85", ""),
    ],
)
def test_c_source_for_a_board_is_for_its_npu(target, npu, family, base, tmp_path):
    recorded = Recorded("gru")
    recorded.target = target
    bundle = recorded.bundle(tmp_path, {"a.npz": raw(recorded)})
    rows = bundle.spec.features(bundle.golden[0])[:2].astype(np.float32)
    made = c_source(bundle, "a.tosa", rows)
    assert (made.facts["target"], made.facts["npu"]) == (target, npu)
    assert (made.facts["family"], made.facts["base"]) == (family, base)
    assert "NPU_CONFIG {{ npu.npu }} " in made.templates["CMakeLists.txt.j2"]


def test_the_page_has_every_board():
    page = (ROOT / "docs/ethos-u.md").read_text("utf-8")
    for name, board in BOARDS.items():
        clock = board.npu_mhz or "unknown"
        assert f"\n| `{name}` | " in page
        (row,) = re.findall(rf"^\| `{name}` \| .*$", page, re.M)
        assert row.endswith(f"| `{board.npu}` | {clock} | `{board.system_config}` |")
