"""Ethos-U as a vendor, without its compiler."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import edge_lstm_export as ex
from edge_lstm_export.npu.converted import Job
from edge_lstm_export.npu.ethos_u.conversion import Conversion
from edge_lstm_export.npu.ethos_u.lint import RULES, findings
from edge_lstm_export.npu.ethos_u.pack import pack
from edge_lstm_export.npu.ethos_u.targets import targets
from edge_lstm_export.npu.ethos_u.vendor import VENDOR, Form
from edge_lstm_export.npu.targets import known
from edge_lstm_export.npu.vendor import vendor
from edge_lstm_export.work import Artifact
from edge_lstm_runtime import ConfigError
from edge_lstm_runtime.model.measured import Measured
from edge_lstm_runtime.model.network import network_from
from helpers.paths import ROOT
from helpers.specs import make_spec, mixed_spec, normed_spec, one_layer_spec

# What `vela --help` of 5.1.0 lists.
MACS = {"u55": (32, 64, 128, 256), "u65": (256, 512), "u85": (128, 256, 512, 1024, 2048)}


def test_the_targets_are_the_accelerators_of_vela():
    npus = {name: chip for name, chip in targets().items() if not chip.is_board}
    assert list(npus) == [f"ethos-{u}-{n}" for u, macs in MACS.items() for n in macs]
    assert list(targets())[: len(npus)] == list(npus)
    for name, chip in npus.items():
        assert chip.macs == int(name.rsplit("-", 1)[1])
        assert chip.schemes == ("a8w8", "a16w8")
        assert name.split("-")[1].upper() in chip.system_config
        assert chip.clock_mhz in (500, 1000)
        for keys in chip.sources.values():
            assert all(VENDOR.table.source(key) for key in keys)


def test_a_target_leads_to_the_vendor():
    assert vendor("ethos-u") is VENDOR
    assert ex.targets()["ethos-u85-256"].vendor == "ethos-u"
    with pytest.raises(ConfigError, match="is unknown; did you mean 'ethos-u55-128'"):
        known("ethos-u55-129")


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "causal-conv"])
def test_recurrent_layers_pass_lint(kind):
    options = {"kernel": 2} if kind == "causal-conv" else {}
    assert not findings(one_layer_spec(kind, **options))
    assert not findings(mixed_spec())
    assert not findings(normed_spec(kind, **options))


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        ({"type": "softmax"}, "divides by a sum of powers"),
        ({"type": "embedding", "count": 5, "units": 2}, "looks up a row"),
    ],
)
def test_a_layer_without_a_form_is_named(layer, what):
    layers = [
        {"type": "dense", "name": "one", "inputs": ["x"], "units": 1},
        {"name": "odd", "inputs": ["one"], **layer},
        {"type": "dense", "name": "head", "inputs": ["odd"], "units": 3},
    ]
    spec = dataclasses.replace(one_layer_spec("lstm"), network=network_from(3, layers))
    (found,) = findings(spec)
    assert (found.rule, found.level) == ("layer-has-integers", "error")
    assert found.message == f"layer 'odd' {what}, which has no form in integers here"
    assert RULES[found.rule].doc


def test_the_page_names_every_rule():
    page = (ROOT / "docs/ethos-u.md").read_text("utf-8")
    assert all(f"\n| `{rule}` | " in page for rule in RULES)
    assert len(RULES) == 3


def test_a_whole_sequence_is_refused():
    (found,) = findings(make_spec(bidirectional=True))
    assert found.rule == "one-step"


def test_both_forms_are_tried_the_cheaper_first():
    class Asked:
        chunk = 0

    assert VENDOR.jobs(Asked(), "ethos-u55-128", "a16w8") == [
        Job("ethos-u55-128", "a16w8", "plain"),
        Job("ethos-u55-128", "a16w8", "fine"),
    ]


def test_the_worker_is_told_the_network(tmp_path, random_model):
    spec, weights = random_model(1, 4)
    sizes = {"x": spec.feature_size, **spec.network.state}
    drawn = {name: np.zeros((5, size), np.float32) for name, size in sizes.items()}
    chip = targets()["ethos-u85-256"]
    conversion = Conversion(spec, weights, drawn, chip, "a16w8", "fine")
    arrays = {"weights.npz", "rounded.npz", "calibration.npz"}
    assert set(conversion.write(tmp_path)) == {"job.json", *arrays}
    assert conversion.label == "ethos-u85-256 a16w8 fine"
    job = conversion.job
    assert network_from(job["features"], job["layers"]) == spec.network
    assert job["target"] == {
        "accelerator": "ethos-u85-256",
        "system_config": "Ethos_U85_SYS_DRAM_Mid",
        "memory_mode": "Sram_Only",
        "section": {},
    }
    for file in ("weights.npz", "rounded.npz"):
        with np.load(tmp_path / file) as found:
            assert set(found) == set(weights)


def test_a_bundle_gets_what_vela_estimated():
    class Made:
        """What `compiled.Compiled` has read from Vela's files, of an LSTM of 16 units."""

        cycles = 5954
        on_cpu = 0
        model = b"m"
        versions = {"ethos-u-vela": "5.1.0"}  # noqa: RUF012
        files_of = {"pte": b"p", "tflite": b"t", "npz": b"n", "flatbuffer": b"f"}  # noqa: RUF012
        summary = {  # noqa: RUF012
            "core_clock": "500000000.0",
            "cycles_total": "5954",
            "system_config": "Ethos_U55_High_End_Embedded",
            "memory_mode": "Shared_Sram",
            "sram_memory_used": "0.40625",
            "dram_memory_used": "0.0",
            "on_chip_flash_memory_used": "0.0",
            "off_chip_flash_memory_used": "12.625",
        }

    artifact = Artifact(
        "ethos-u55-128", "a16w8", Form("fine"), Made(), np.zeros((1, 1)), Measured("tosa", "m")
    )
    packed = pack(artifact)
    assert packed.facts["memory_kb"] == {"internal": 0.416, "weight": 12.928}
    told = {row["what"]: row["value"] for row in packed.facts["estimates"]}
    assert told["time of a step"] == "11.9 us at 500 MHz"
    assert (told["SRAM"], told["flash"]) == ("0.41 KiB", "12.62 KiB")
    assert told["operators on the CPU"] == "0"
    assert {row["source"] for row in packed.facts["estimates"]} == {
        "Vela's estimate, not a measurement"
    }
    assert packed.beside == {
        "ethos-u55-128-a16w8.pte": b"p",
        "ethos-u55-128-a16w8.tflite": b"t",
        "ethos-u55-128-a16w8.npz": b"n",
    }
    assert packed.members == {"ethos-u55-128-a16w8.flatbuffer": b"f"}
    assert packed.versions == {"ethos-u-vela": "5.1.0"}
