"""The packaged configurations: their list, their names, whether their data is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_lstm import load_config
from edge_lstm.recipes import FOLDER, recipe_path
from edge_lstm.recipes.listing import recipes
from edge_lstm_runtime import cli
from edge_lstm_runtime.errors import ConfigError
from helpers.paths import ROOT

NAMES = [
    "activity",
    "anomaly",
    "bikes",
    "digits",
    "occupancy",
    "speakers",
    "temperature",
    "timemachine",
    "turbofan",
    "weather",
]
DOCUMENT = ROOT / "docs" / "recipes.md"


def test_every_recipe_is_a_good_configuration_and_documented() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert [recipe.name for recipe in recipes()] == NAMES
    for recipe in recipes():
        assert load_config(f"recipe:{recipe.name}") == load_config(recipe.path)
        assert f"edge-lstm train recipe:{recipe.name} -o " in recipe.path.read_text("utf-8")
        assert f"edge-lstm train recipe:{recipe.name} -o " in text
        assert 20 < len(recipe.about) < 120


def test_a_path_is_taken_as_it_is_and_a_wrong_name_is_answered_with_the_right_ones() -> None:
    assert recipe_path("some/file.toml") == Path("some/file.toml")
    assert recipe_path(Path("recipe:turbofan")) == FOLDER / "turbofan.toml"
    for wrong in ("recipe:turbo", "recipe:", "recipe:../recipes/turbofan"):
        with pytest.raises(
            ConfigError,
            match=r"there is no such recipe; .*expected one of recipe:activity, recipe:anomaly, "
            "recipe:bikes, recipe:digits",
        ):
            recipe_path(wrong)


def test_the_list_says_whose_data_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EDGE_LSTM_DATA", raising=False)
    assert cli.main(["recipes"]) == 0
    out = capsys.readouterr().out
    assert "data: BasicMotions, inside the package aeon (there)" in out
    assert (
        "(MISSING: cmapss/train_FD001.txt is not below the folder in EDGE_LSTM_DATA, which is not "
        "set)" in out
    )
    monkeypatch.setenv("EDGE_LSTM_DATA", str(tmp_path))
    (tmp_path / "cmapss").mkdir()
    for name in ("train", "test"):
        (tmp_path / "cmapss" / f"{name}_FD001.txt").touch()
    (turbofan,) = [recipe for recipe in recipes() if recipe.name == "turbofan"]
    assert turbofan.missing == f"cmapss/RUL_FD001.txt is not below {tmp_path}"
    (tmp_path / "cmapss" / "RUL_FD001.txt").touch()
    assert not next(recipe for recipe in recipes() if recipe.name == "turbofan").missing
