"""A bundle's name, version and origin."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import edge_lstm_runtime as rt
from helpers.commands import here
from helpers.jobs import NET


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.json"
    path.write_text(NET)
    return path


def test_an_imported_net_gets_a_name_and_a_version(
    net: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["-o", "net.edge", "--name", "amp.v2", "--version", "7"]
    assert here(capfd, "import", net, *options)[0] == 0
    bundle = rt.load("net.edge").bundle
    assert (bundle.name, bundle.version) == ("amp.v2", 7)
    assert bundle.manifest["provenance"] == {
        "net": "net.json",
        "net_sha256": hashlib.sha256(net.read_bytes()).hexdigest(),
    }
    digest = hashlib.sha256(Path("net.edge").read_bytes()).hexdigest()
    assert bundle.digest == digest
    code, out, _ = here(capfd, "info", "net.edge")
    assert code == 0
    assert out.startswith(f"name      amp.v2, version 7\nsha256    {digest} (of the file)\nfrom\n")
    assert "\n  imported from           net.json\n" in out
    assert json.loads(here(capfd, "info", "net.edge", "--json")[1])["model"]["version"] == 7


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--name", "a"], "a model's name and version belong together; give both"),
        (["--version", "1"], "a model's name and version belong together; give both"),
        (["--name", "a/b", "--version", "1"], "the name is 'a/b'; expected 1 to 64 letters"),
        (["--name", "a", "--version", "0"], "the version is 0; expected a whole number from 1"),
        (["--name", "a", "--version", "1.2"], "argument --version: invalid int value: '1.2'"),
    ],
)
def test_a_wrong_one_is_refused_before_anything_is_read(
    net: Path, capfd: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    for verb, source in (("import", net), ("export", "nothing")):
        code, _, err = here(capfd, verb, source, "-o", "net.edge", *options)
        assert code == 2
        assert said in err
        assert len(err.splitlines()) == 1
        assert not Path("net.edge").exists()


def test_c_source_has_no_version(net: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert net.exists()
    for option in (["--name", "a"], ["--version", "1"]):
        code, _, err = here(capfd, "export", "run", "--target", "c", "-o", "c", *option)
        assert code == 2
        assert f"{option[0]} is for a bundle; leave it out with --target c" in err
