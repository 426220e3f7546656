"""The page of `edge-lstm inspect`, its command, and what it refuses, on trained runs."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser

import pytest

from edge_lstm import Run, load_config, train
from edge_lstm_runtime.cli import main

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("both")
    (folder / "config.toml").write_text(
        '[data]\nsource = "aeon"\nname = "BasicMotions"\n[data.split]\nby = "given"\n'
        '[model]\ntask = "classify"\nhidden_size = 2\nbidirectional = true\n[train]\nepochs = 1\n'
    )
    return train(load_config(folder / "config.toml"), folder / "run", quiet=True)


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [
            value for name, value in attrs if name in ("src", "href", "srcset", "data")
        ]


def test_the_page_is_whole_and_alone(trained, capsys):
    assert main(["inspect", str(trained.path)]) == 0
    out = capsys.readouterr().out
    text = (trained.path / "inspect.html").read_text()
    page = Page()
    page.feed(text)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert len(page.addresses) == page.tags.count("img") == 5
    for address in page.addresses:
        assert base64.b64decode(address.removeprefix("data:image/png;base64,")).startswith(PNG)
    assert not re.search(r"https?:|@import|url\(", text)
    assert out.rstrip().endswith(f"page       {trained.path / 'inspect.html'}")
    # Under each picture stand the sentences that the command prints, and they carry this model's
    # figures.
    for part in text.split("<h2>")[1:]:
        assert part.index("<figure>") < part.index("<li>")
    plain = re.sub(r"\s+", " ", out)
    for sentence in re.findall(r"<li>(.*?)</li>", text):
        assert re.sub(r"&#39;", "'", sentence)[:60] in plain
        assert re.search(r"\d", sentence)
    assert f"{trained.metrics['test']['accuracy']:.4g}" in text


TASKS = {
    "regress": 'group = "unit"\n[data.split]\nby = "group"\nval = ["u1"]\ntest = ["u2"]',
    "anomaly": 'time = "time"\n[data.split]\nby = "time"\nval = 0.2\ntest = 0.3',
}

KEYS = {"regress": 'targets = ["level"]', "anomaly": "horizon = 3"}


@pytest.mark.parametrize("task", TASKS)
def test_runs_that_answer_with_numbers(task, tmp_path, capsys):
    rows = [
        (n, f"u{n // 60}", f"{(n % 7) / 3:.3f}", f"{(n % 11) - 5:.3f}", n % 5) for n in range(180)
    ]
    (tmp_path / "data.csv").write_text(
        "\n".join(",".join(map(str, row)) for row in [("time", "unit", "a", "b", "level"), *rows])
    )
    (tmp_path / "own.csv").write_text("a,b\n" + "\n".join(f"{n % 3},{n % 2}" for n in range(20)))
    (tmp_path / "config.toml").write_text(
        f'[data]\nsource = "csv"\npath = "data.csv"\nchannels = ["a", "b"]\n{TASKS[task]}\n'
        f'[model]\ntask = "{task}"\nhidden_size = 4\n{KEYS[task]}\n[train]\nepochs = 1\n'
        "batch_size = 4\n"
    )
    run = train(load_config(tmp_path / "config.toml"), tmp_path / "run", quiet=True)
    page = tmp_path / "inside.html"
    assert (
        main(
            [
                "inspect",
                str(run.path),
                "--input",
                str(tmp_path / "own.csv"),
                "--json",
                "-o",
                str(page),
            ]
        )
        == 0
    )
    figures = json.loads(capsys.readouterr().out)
    assert figures["task"] == task
    assert figures["memory"]["recording"] == "own.csv"
    # two targets have no common unit
    names = ("rmse", "mae") if len(run.spec.answer.targets) == 1 else ("nrmse",)
    assert figures["channels"]["intact"] == {
        name: pytest.approx(run.metrics["test"][name]) for name in names
    }
    outputs = {"regress": 1, "anomaly": 6}[task]
    network = f"lstm 4 → dense {outputs}"
    assert f"{task} · {network} · channels: a, b" in page.read_text()
    assert figures["units"] == [4]
    assert page.read_text().count("base64,") == 5


def test_json_and_a_recording_of_ones_own(trained, tmp_path, capsys):
    recording = tmp_path / "mine.csv"
    names = "ax,ay,az,gx,gy,gz"
    rows = [",".join(str(round(0.1 * ((n + k) % 7), 2)) for k in range(6)) for n in range(30)]
    recording.write_text(
        "\n".join([f"time,{names}", *(f"{n},{row}" for n, row in enumerate(rows))])
    )
    assert main(["inspect", str(trained.path), "--input", str(recording), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["memory"]["recording"] == "mine.csv"
    assert figures["memory"]["steps"] == figures["memory"]["length"] == 30
    assert figures["channels"]["intact"]["accuracy"] == pytest.approx(
        trained.metrics["test"]["accuracy"]
    )
    assert set(figures["channels"]["occluded"]) == set(names.split(","))
    assert (
        main(
            [
                "inspect",
                str(trained.path),
                "--input",
                str(recording),
                "--json",
                "-o",
                str(tmp_path / "x.html"),
            ]
        )
        == 0
    )
    assert "mine.csv" in (tmp_path / "x.html").read_text()


def test_what_is_refused(trained, both, tmp_path, capsys):
    short = tmp_path / "short.csv"
    wrong = tmp_path / "wrong.csv"
    short.write_text("ax,ay,az,gx,gy,gz\n" + "1,2,3,4,5,6\n" * 3)
    wrong.write_text("ax,ay\n1,2\n")
    run = str(trained.path)
    for arguments, message in (
        ([str(both.path)], "the model is bidirectional"),
        ([str(tmp_path / "nothing")], "nothing"),
        ([run, "--input", str(tmp_path / "no.csv")], "no.csv"),
        ([run, "--input", str(short)], "recording 'short.csv' has 3 steps; expected at least 4"),
        ([run, "--input", str(wrong)], "'az'"),
        ([run, "-o", str(tmp_path / "no" / "x.html")], "can't write"),
    ):
        assert main(["inspect", *arguments]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("edge-lstm: error: ")
        assert message in error
