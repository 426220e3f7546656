"""What a public object shows of itself: one line that says what it is."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import edge_lstm as el
import edge_lstm_export as ex
import edge_lstm_runtime as rt
from helpers.bundles import make_bundle
from helpers.public import names
from helpers.specs import make_spec


@pytest.fixture(scope="module")
def objects(trained: el.Run, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """An object of each public class, by its name. Errors have none here."""
    path = tmp_path_factory.mktemp("reprs") / "m.edge"
    bundle = make_bundle(path, make_spec())
    model = rt.load(path)
    front_end = rt.FrontEnd("log-mel", 8000, 128, 128, 128, 4, 0, 20, 4000)
    return {
        "Run": trained,
        "Config": trained.config,
        "Splits": trained.splits,
        "Sequence": trained.splits.train[0],
        "Recording": el.Recording("a", "g", np.zeros((1, 2)), labels=np.array(["u"])),
        "CompactNet": trained.model,
        "LSTMClassifier": el.LSTMClassifier(),
        "LSTMRegressor": el.LSTMRegressor(epochs=3),
        "Model": model,
        "Session": model.session("numpy"),
        "StreamsSession": model.session("numpy", streams=3),
        "Bundle": bundle,
        "ModelSpec": bundle.spec,
        "Reference": rt.Reference(bundle.spec, bundle.weights),
        "Facts": rt.Facts("float32"),
        "Detection": rt.Detection(0.5, False),
        "FrontEnd": front_end,
        "FrontEndStream": front_end.stream(),
        "Check": rt.check_backend(bundle, "numpy"),
        "Comparison": rt.compare(np.zeros((2, 1)), np.ones((2, 1))),
        "Tolerance": rt.Tolerance("nrmse", 0.1, "an example"),
        "Target": ex.targets()["rk3588"],
    }


ELSEWHERE = {"AnomalyDetector", "Backend", "CExport"}  # in their examples; abstract


def test_every_public_class_is_here(objects: Mapping[str, Any]) -> None:
    classes = {
        item.where.rpartition(".")[2]
        for item in names()
        if inspect.isclass(item.thing) and not issubclass(item.thing, Exception)
    }
    assert classes - ELSEWHERE == set(objects)


def test_each_is_one_line_that_begins_with_its_class(objects: Mapping[str, Any]) -> None:
    for name, thing in objects.items():
        shown = repr(thing)
        assert shown.startswith(f"{name}("), shown
        assert "\n" not in shown, shown
        assert " at 0x" not in shown, shown
        assert len(shown) <= 400, (len(shown), shown)


def test_they_say_what_they_are(objects: Mapping[str, Any], trained: el.Run) -> None:
    assert repr(objects["Config"]) == "Config(classify, source aeon, lstm 16 -> lstm 16, 3 epochs)"
    assert repr(objects["Splits"]) == (
        "Splits(train 32, val 8, test 40 sequences; 6 channels, 4 classes)"
    )
    assert repr(objects["Sequence"]).endswith("100 steps, 6 channels, class 2)")
    assert repr(objects["Recording"]) == "Recording('a', 1 step, 2 channels, class 'u')"
    accuracy = trained.metrics["test"]["accuracy"]
    assert repr(trained).endswith(
        f"classify: 6 channels -> lstm 16 -> lstm 16 -> 4 classes, test accuracy {accuracy:.4g})"
    )
    spec = "classify: 3 channels -> lstm 8 -> 4 classes"
    assert repr(objects["Session"]) == f"Session(numpy; {spec})"
    assert repr(objects["StreamsSession"]) == f"StreamsSession(numpy, 3 streams; {spec})"
    assert repr(objects["Model"]) == f"Model({spec}; 2 members)"


def test_the_layers_and_the_network_say_what_they_are() -> None:
    spec = make_spec()
    for layer in spec.network.layers:
        assert repr(layer).startswith(f"{type(layer).__name__}(name='{layer.name}'")
