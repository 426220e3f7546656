"""Faults in the converter's environment and in making it end in one line that names the cause."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_lstm_export.npu.rknn.environment import ENVIRONMENT
from edge_lstm_export.npu.worker import making
from edge_lstm_export.npu.worker.content import digest_of, listed
from edge_lstm_export.npu.worker.environment import STAMP, Environment
from edge_lstm_export.npu.worker.indexes import settings_for
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.files import sealed_json, unsealed_json
from helpers.converter import NEEDS_CONVERTER, convert
from helpers.faults import export_fails, fails, link_or_copy, without_network, works
from helpers.locks import make_wheel
from helpers.on_request import ON_REQUEST
from helpers.paths import ROOT

pytestmark = [pytest.mark.slow, NEEDS_CONVERTER, pytest.mark.usefixtures("tmp")]


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the environment, in a cache of its own, without a network to mend it from."""
    whole = making.interpreter(ENVIRONMENT, lambda _: None).parent.parent
    shutil.copytree(
        whole, tmp_path / "cache" / whole.name, symlinks=True, copy_function=link_or_copy
    )
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))
    without_network(tmp_path, monkeypatch)
    return ENVIRONMENT.home


# --- 1: no network ---


def test_no_network(trained, tmp_path, monkeypatch, model):
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))
    without_network(tmp_path, monkeypatch)
    export_fails(
        trained,
        tmp_path,
        r"can't make the converter's environment: `uv pip install` failed "
        r"\(.*(network|offline|cache).*UV_FIND_LINKS",
    )
    assert not list((tmp_path / "cache").iterdir())
    monkeypatch.undo()
    works(model)


def test_offline_once_made(tmp_path, monkeypatch, model):
    making.interpreter(ENVIRONMENT, lambda _: None)
    without_network(tmp_path, monkeypatch)
    works(model)


# --- 2: corrupt environment ---


def delete_package(home: Path) -> None:
    shutil.rmtree(next(home.glob("lib/python*/site-packages/rknn")))


def cut_a_file(home: Path) -> None:
    file = next(home.glob("lib/python*/site-packages/rknn/api/*.so"))
    content = file.read_bytes()
    file.unlink()  # it may be a link to the whole one
    file.write_bytes(content[: len(content) // 2])


def break_the_interpreter(home: Path) -> None:
    (home / "bin/python").unlink()
    (home / "bin/python").symlink_to(home / "bin/no-such-python")


def remove_half(home: Path) -> None:
    (home / STAMP).unlink()
    shutil.rmtree(home / "lib")


def change_a_file(home: Path) -> None:
    """As long as it was, where only an import or a digest finds it."""
    file = next(home.glob("lib/python*/site-packages/onnx/__init__.py"))
    content = file.read_bytes()
    file.unlink()  # it may be a link to the whole one
    file.write_bytes(b"(" * len(content))


def garble_the_stamp(home: Path) -> None:
    (home / STAMP).unlink()
    (home / STAMP).write_text('{"files": ')


DAMAGES = [
    delete_package,
    cut_a_file,
    pytest.param(change_a_file, marks=ON_REQUEST),
    break_the_interpreter,
    pytest.param(remove_half, marks=ON_REQUEST),
    garble_the_stamp,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
def test_damaged_environment_is_noticed_and_ends_in_one_line_without_a_network(
    copied, model, monkeypatch, damage, capsys
):
    damage(copied)
    said: list[str] = []
    fails(
        lambda: convert(model, say=said.append), "can't make the converter's environment: .* failed"
    )
    assert "is damaged" in said[0]
    assert main(["converter"]) == 0
    assert "damaged: " in capsys.readouterr().out
    assert main(["converter", "remove"]) == 0
    assert not list(copied.parent.iterdir())
    monkeypatch.undo()
    works(model)


def test_export_with_a_damaged_environment_leaves_the_old_bundle(copied, trained, tmp_path):
    delete_package(copied)
    export_fails(trained, tmp_path, "can't make the converter's environment")


def test_damaged_environment_is_made_again(copied, model, monkeypatch):
    delete_package(copied)
    monkeypatch.undo()
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(copied.parent))
    said: list[str] = []
    making.interpreter(ENVIRONMENT, said.append)
    assert "is damaged" in said[0]
    works(model)
    assert [p.name for p in copied.parent.iterdir()] == [copied.name]


def test_what_only_an_import_finds_names_the_command_that_mends_it(copied, model):
    """Such as a change of the machine's, under an environment that is as it was installed."""
    change_a_file(copied)
    stamp = unsealed_json((copied / STAMP).read_bytes())
    stamp["content"] = digest_of(copied, listed(copied, STAMP))
    (copied / STAMP).unlink()
    (copied / STAMP).write_bytes(sealed_json(stamp))
    fails(
        lambda: convert(model),
        r"can't be loaded: SyntaxError: .*seems damaged: `edge-lstm converter remove` removes it",
    )
    assert main(["converter", "remove"]) == 0


# --- 3: wrong Python ---


def test_wrong_python(trained, tmp_path, monkeypatch, model):
    """edge-lstm on Python 3.14, and uv finds no other."""
    monkeypatch.setattr(making, "_running", lambda: (3, 14))
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    monkeypatch.setenv("UV_PYTHON_PREFERENCE", "only-managed")
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "pythons"))
    said = export_fails(
        trained,
        tmp_path,
        r"`uv venv` found no Python 3\.11 to 3\.12, which rknn-toolkit2 needs \(this is 3\.14\),",
    )
    assert "install Python 3.11" in said
    assert not list((tmp_path / "cache").iterdir())
    monkeypatch.undo()
    works(model)


# --- 4: making the environment ---


def command(*arguments: str) -> subprocess.Popen[str]:
    path = os.pathsep.join(map(str, (ROOT, ROOT / "export", ROOT / "deploy")))
    code = "import sys; from edge_lstm_runtime.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_made_by_two_at_once_and_after_one_was_killed(tmp_path, monkeypatch, model):
    cache = tmp_path / "cache"
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(cache))
    first = command("converter", "make")
    end = time.monotonic() + 60
    while not list(cache.glob(".building-*/env/lib*/python*/site-packages/*")):
        assert time.monotonic() < end
        time.sleep(0.01)
    first.kill()
    first.communicate()
    both = [command("converter", "make") for _ in range(2)]
    said = [p.communicate(timeout=600)[1] for p in both]
    assert [p.returncode for p in both] == [0, 0], said
    assert sum("making the converter's environment" in text for text in said) == 1, said
    assert any("waiting for it" in text for text in said), said
    assert any("Installed" in text for text in said), said
    assert [p.name for p in cache.iterdir()] == [ENVIRONMENT.home.name]
    works(model)
    monkeypatch.setenv("UV_OFFLINE", "1")
    remover = command("converter", "remove")
    assert "removed " in remover.communicate(timeout=60)[0]
    assert remover.returncode == 0
    assert not list(cache.iterdir())


@pytest.mark.parametrize("way", ["UV_FIND_LINKS", "PIP_FIND_LINKS", "pip.conf"])
def test_wheel_folder_is_used(tmp_path, monkeypatch, way):
    """A package that is nowhere else is found there, without a network."""
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))
    without_network(tmp_path, monkeypatch)
    wheels = tmp_path / "wheels"
    digest = make_wheel(wheels, "edge_lstm_probe", "")
    if way == "pip.conf":
        (tmp_path / "pip.conf").write_text(f"[global]\nfind-links = {wheels}\n")
        monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    else:
        monkeypatch.setenv(way, str(wheels))
    asked = f"edge-lstm-probe==1 --hash=sha256:{digest}\n"
    monkeypatch.setattr(Environment, "requirements", lambda _: asked)
    monkeypatch.setattr(making, "_try_out", lambda *_: {"python": "-", "rknn-toolkit2": "-"})
    made = making.interpreter(ENVIRONMENT, lambda _: None).parent.parent
    assert list(made.glob("lib/python*/site-packages/edge_lstm_probe.py"))
    assert ENVIRONMENT.state().damage is None
    assert making.remove(ENVIRONMENT, lambda _: None) == [made]


def test_pips_settings_are_handed_on_and_uvs_own_win(tmp_path, monkeypatch):
    without_network(tmp_path, monkeypatch)
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "SSL_CERT_FILE",
    ):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://a.example/simple\nextra-index-url =\n  https://b.example\n"
        "  https://c.example\n"
        "proxy = http://p.example:1\ncert = /c.pem\nfind-links = /from-file\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_FIND_LINKS", "/from-environment")
    assert settings_for("cp311") == {
        "UV_DEFAULT_INDEX": "https://a.example/simple",
        "UV_INDEX": "https://a.example/simple https://b.example https://c.example",
        "UV_FIND_LINKS": "/from-environment",
        "SSL_CERT_FILE": "/c.pem",
        "ALL_PROXY": "http://p.example:1",
        "UV_TORCH_BACKEND": "cpu",
    }
    for name, value in (
        ("UV_DEFAULT_INDEX", "x"),
        ("UV_INDEX", "y"),
        ("UV_FIND_LINKS", "z"),
        ("https_proxy", "q"),
        ("SSL_CERT_FILE", "r"),
    ):
        monkeypatch.setenv(name, value)
    assert settings_for("cp311") == {"UV_TORCH_BACKEND": "cpu"}


def test_package_that_is_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))
    asked = f"edge-lstm-has-no-such-package==1 --hash=sha256:{'0' * 64}\n"
    monkeypatch.setattr(Environment, "requirements", lambda _: asked)
    fails(
        lambda: making.interpreter(ENVIRONMENT, lambda _: None),
        r"`uv pip install` failed .*edge-lstm-has-no-such-package",
    )
    assert not list((tmp_path / "cache").iterdir())


def test_cache_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "file"))
    fails(
        lambda: making.interpreter(ENVIRONMENT, lambda _: None),
        f"can't use the folder .*file.*{os.strerror(errno.EEXIST)}; EDGE_LSTM_CACHE names another",
    )
