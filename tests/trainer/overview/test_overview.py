"""`edge-lstm data`: the figures are those of the data, and the page shows them."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from edge_lstm.config.load import load_config
from edge_lstm.overview.facts import overview
from edge_lstm.overview.figures import figures
from edge_lstm.overview.scores import scores
from edge_lstm.overview.short import amounts, classes_in_words
from edge_lstm.overview.words import lines, warnings
from edge_lstm_runtime import cli

CONFIG = """
[data]
source = "csv"
path = "plant.csv"
channels = ["a", "<b>"]
label = "state"
missing = "ffill"
window = 10
stride = 5
[data.split]
by = "time"
val = 0.2
test = 0.2
[model]
task = "tag"
hidden_size = 4
[train]
epochs = 1
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """100 rows: a is 0, 1, 2, ..., and 40 more from row 80 on. Two cells of b are missing, one is
    far off. The state is "on" in every fourth row."""
    rows = []
    for i in range(100):
        b = {3: "", 5: "nan", 7: "99999"}.get(i, str(i % 5))
        rows.append(f"{i + 40 * (i >= 80)},{b},{'on' if i % 4 == 0 else 'off'}")
    (tmp_path / "plant.csv").write_text("\n".join(["a,<b>,state", *rows]))
    path = tmp_path / "mine.toml"
    path.write_text(CONFIG)
    return path


def test_the_facts_are_those_of_the_rows(config: Path) -> None:
    found = overview(load_config(config))
    train, val, test = found.parts
    assert (train.steps, val.steps, test.steps) == (60, 20, 20)
    assert train.windows == 11  # they begin at 0, 5, ..., 50
    a, b = found.channels
    assert (a.name, a.least, a.median, a.most, a.missing, a.far) == ("a", 0, 49.5, 139, 0, 0)
    # The median of 120 to 139, less that of 0 to 59, in the deviation of these: 17.318.
    assert a.drift == pytest.approx((129.5 - 29.5) / 17.318, rel=1e-4)
    assert (b.missing, b.far, b.most) == (pytest.approx(0.02), 1, 99999)
    assert found.classes == {"off": ([1, 1, 1], [45, 15, 15]), "on": ([1, 1, 1], [15, 5, 5])}
    assert next(iter(warnings(found))).startswith(
        "the test split's median is far from training's, in its deviations: a (+5.8);"
    )


def test_the_scores_are_those_of_counting(config: Path) -> None:
    found = overview(load_config(config))
    first, *_ = scores(found)
    assert first.title == "most frequent class"
    assert first.figures["accuracy, every step"] == 0.75


def test_the_short_form(config: Path) -> None:
    splits = overview(load_config(config)).splits
    assert amounts(splits) == (
        "training 60 steps of 1 sequence, validation 20 steps of 1 sequence, "
        "test 20 steps of 1 sequence"
    )
    assert classes_in_words(splits) == (
        "off 45/15/15, on 15/5/5 (steps of training/validation/test)"
    )
    many = overview(load_config("recipe:speakers")).splits
    assert classes_in_words(many).startswith("9, with sequences each: training 24 to 24, validat")


def test_the_lines(config: Path) -> None:
    said = "\n".join(lines(overview(load_config(config)), []))
    assert re.search(r"^  training +1 +1 +60 +60 +60 +11$", said, re.MULTILINE)
    assert re.search(r"^  off +45 +15 +15$", said, re.MULTILINE)
    assert re.search(r"^  <b> +0 +2 +1e\+05 +2\.0 % +1 ", said, re.MULTILINE)
    assert "note: channel '<b>': " in said


def test_the_page(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = config.parent / "page.html"
    assert cli.main(["data", str(config), "--no-scores", "--html", str(page)]) == 0
    assert f"written    {page}" in capsys.readouterr().out
    text = page.read_text("utf-8")
    assert "<b>" not in re.sub(r"<td>&lt;b&gt;</td>", "", text)
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    assert len(pictures) == 3  # classes, series, spreads
    assert all(base64.b64decode(each).startswith(b"\x89PNG") for each in pictures)
    assert text.count("<figcaption>") == 3


def test_many_inputs_are_one_image_and_many_sequences_have_lengths() -> None:
    captions = [caption for caption, _ in figures(overview(load_config("recipe:speakers")))]
    assert [caption.split(",")[0][:30] for caption in captions] == [
        "How often each class is in eac",
        "The longest sequence of each s",
        "How long the sequences are.",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--html", "page.txt"], "--html page.txt: expected a name like page.html"),
        (["--html", "no/page.html"], "no/page.html: the folder no is not there"),
        (["--set", "data.channels=['c']"], "there is no column 'c'"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str], said: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["data", str(config), *words]) == 2
    assert said in capsys.readouterr().err
