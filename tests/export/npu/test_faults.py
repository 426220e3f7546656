"""Faults put into the real converter and its environment: each ends in one line that names the cause, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_lstm_export import export_run
from edge_lstm_export.graphs.npu import FORMS
from edge_lstm_export.npu.rknn import environment, process
from edge_lstm_export.npu.rknn.folder import PREFIX
from edge_lstm_runtime import ConfigError, ConversionError, Reference, compare
from edge_lstm_runtime.cli import main
from edge_lstm_runtime.verify.error import FLOAT16
from helpers.converter import convert
from helpers.paths import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        environment.unsupported_reason() is not None, reason=f"{environment.unsupported_reason()}"
    ),
]
NOWHERE = "http://127.0.0.1:9"


def processes(text: str) -> list[int]:
    """Those with the text in their command line, but for zombies."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (
                text in (folder / "cmdline").read_bytes().decode(errors="replace")
                and int(folder.name) != os.getpid()
            ):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def gone(text: str, seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while processes(text):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(autouse=True)
def tmp(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """TMPDIR, empty before and after; no process of the converter is left, nor anything half made beside its environment."""
    folder = tmp_path_factory.mktemp("TMPDIR")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    assert gone(str(folder)), "a process was left"
    assert not [p for p in folder.iterdir() if p.name != ".ses"], (
        "a file was left in TMPDIR"
    )  # .ses: this process's onnxruntime
    cache = environment.location().parent
    assert not [p.name for p in cache.glob(".building-*")], "a half-made environment was left"


@pytest.fixture
def model(random_model):
    return random_model(1, 16)


def works(model) -> None:
    """The next run."""
    spec, weights = model
    rows = np.random.default_rng(2).normal(size=(20, spec.feature_size)).astype(np.float32)
    with convert(model) as converter:
        comparison = compare(converter.run(rows), Reference(spec, weights).run(rows))
    assert comparison.within(FLOAT16), comparison


def fails(start: Callable[[], object], message: str) -> str:
    with pytest.raises(ConversionError, match=message) as caught:
        start()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def export_fails(trained, tmp_path: Path, message: str) -> str:
    """An export of fp16 onto an old bundle, which stays as it is, without a report; only the vendor's logs may be beside it."""
    out = tmp_path / "out" / "motions.edge"
    out.parent.mkdir()
    out.write_bytes(b"the old bundle")
    said = fails(lambda: export_run(trained, out, schemes=("fp16",)), message)
    assert out.read_bytes() == b"the old bundle"
    assert {p.suffix for p in out.parent.iterdir()} <= {".edge", ".log"}
    return said


def while_building(tmp: Path, action: Callable[[int], None]) -> threading.Thread:
    """Calls action with the worker's id as soon as the vendor's code has printed its first line."""

    def watch() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for log in tmp.glob(f"{PREFIX}*/log.txt"):
                with_text = log.stat().st_size if log.exists() else 0
                if with_text and (workers := processes(str(log.parent))):
                    action(workers[0])
                    return
            time.sleep(0.001)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the environment, in a cache of its own, without a network to mend it from."""
    whole = environment.python(lambda _: None).parent.parent
    shutil.copytree(
        whole, tmp_path / "cache" / whole.name, symlinks=True, copy_function=link_or_copy
    )
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))
    without_network(tmp_path, monkeypatch)
    return environment.location()


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ):
        monkeypatch.setenv(name, NOWHERE)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))


# --- 1: killed ---


def test_killed_while_it_builds(model, tmp, tmp_path):
    watcher = while_building(tmp, lambda worker: os.kill(worker, signal.SIGKILL))
    fails(
        lambda: convert(model, log_file=tmp_path / "vendor.log"),
        r"rk3588 fp16\) .*killed \(SIGKILL\).*vendor\.log$",
    )
    watcher.join()
    assert (tmp_path / "vendor.log").stat().st_size > 0
    works(model)


def test_crash_names_the_signal(model):
    with convert(model) as converter:
        os.kill(converter._child.process.pid, signal.SIGSEGV)
        fails(
            lambda: converter.run(np.zeros((5, 6), np.float32)),
            r"rk3588 fp16\) crashed \(SIGSEGV\)$",
        )
    works(model)


def test_export_whose_converter_is_killed_leaves_the_old_bundle(trained, tmp, tmp_path, model):
    watchers = [while_building(tmp, lambda worker: os.kill(worker, signal.SIGSTOP))]
    done = threading.Event()

    def kill_all() -> None:
        while not done.wait(0.02):
            for worker in processes(f"{tmp}/{PREFIX}"):
                os.kill(worker, signal.SIGKILL)

    watchers.append(threading.Thread(target=kill_all))
    watchers[1].start()
    try:
        export_fails(
            trained, tmp_path, r"rk3588 fp16 can't be made: cell: .*SIGKILL.*; fused: .*SIGKILL"
        )
    finally:
        done.set()
        for watcher in watchers:
            watcher.join()
    works(model)


# --- 2: hung ---


def test_hung_while_it_builds(model, tmp):
    watcher = while_building(tmp, lambda worker: os.kill(worker, signal.SIGSTOP))
    start = time.monotonic()
    fails(
        lambda: convert(model, timeout=3), r"gave no answer in time \(3 s in build\) and was ended"
    )
    watcher.join()
    assert time.monotonic() - start < 15
    works(model)


def test_export_whose_converter_hangs_leaves_the_old_bundle(
    trained, tmp, tmp_path, monkeypatch, model
):
    """It is stopped as soon as it is there, while the vendor's code is being loaded."""
    monkeypatch.setattr(process, "STEP_TIMEOUT", 3.0)
    done = threading.Event()

    def stop_all() -> None:
        while not done.wait(0.02):
            for worker in processes(f"{tmp}/{PREFIX}"):
                os.kill(worker, signal.SIGSTOP)

    watcher = threading.Thread(target=stop_all)
    watcher.start()
    try:
        export_fails(
            trained,
            tmp_path,
            r"rk3588 fp16 can't be made: cell: .*no answer in time.*; fused: .*no answer in time",
        )
    finally:
        done.set()
        watcher.join()
    monkeypatch.undo()
    works(model)


def test_hung_while_it_is_given_more_than_a_pipe_holds(model):
    with convert(model) as converter:
        worker = converter._child.process
        os.kill(worker.pid, signal.SIGSTOP)
        fails(
            lambda: converter._ask("run", np.zeros((100_000, 6)), timeout=0.5),
            r"gave no answer in time \(0.5 s in run\) and was ended",
        )
        assert worker.returncode == -signal.SIGKILL
    works(model)


# --- 3: out of memory ---


@pytest.mark.parametrize(("limit", "hidden"), [("0.5", 16), ("0.75", 16), ("1", 1024)])
def test_out_of_memory(random_model, model, monkeypatch, limit, hidden):
    """While the vendor's code is loaded, and while it builds: exceptions and crashes alike."""
    monkeypatch.setenv("EDGE_LSTM_CONVERTER_MEMORY_GB", limit)
    said = fails(
        lambda: convert(random_model(1, hidden), scheme="w8a8"),
        rf"ran out of memory \(limit {limit} GiB, set by EDGE_LSTM_CONVERTER_MEMORY_GB\)",
    )
    assert "damaged" not in said
    monkeypatch.delenv("EDGE_LSTM_CONVERTER_MEMORY_GB")
    works(model)


def test_export_out_of_memory_leaves_the_old_bundle(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_LSTM_CONVERTER_MEMORY_GB", "0.75")
    export_fails(trained, tmp_path, "out of memory")


@pytest.mark.parametrize("text", ["much", "0", "-1", "nan", "inf"])
def test_memory_limit_that_is_no_number(model, monkeypatch, text):
    monkeypatch.setenv("EDGE_LSTM_CONVERTER_MEMORY_GB", text)
    with pytest.raises(
        ConfigError, match=rf"EDGE_LSTM_CONVERTER_MEMORY_GB is '{text}'; expected a number of GiB"
    ):
        convert(model)


def test_several_side_by_side_use_one_thread_each_within_the_limit(model):
    with convert(model) as converter:
        status = Path(f"/proc/{converter._child.process.pid}/environ").read_text()
        limits = Path(f"/proc/{converter._child.process.pid}/limits").read_text()
    assert "OMP_NUM_THREADS=1" in status
    assert re.search(rf"Max address space +{8 * 2**30} ", limits)
    assert re.search(r"Max core file size +0 ", limits)


# --- 4: no network ---


def test_no_network(trained, tmp_path, monkeypatch, model):
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))
    without_network(tmp_path, monkeypatch)
    export_fails(
        trained,
        tmp_path,
        r"can't make the converter's environment: `uv pip install` failed \(.*(network|offline|cache).*UV_FIND_LINKS",
    )
    assert not list((tmp_path / "cache").iterdir())
    monkeypatch.undo()
    works(model)


def test_offline_once_made(tmp_path, monkeypatch, model):
    environment.python(lambda _: None)
    without_network(tmp_path, monkeypatch)
    works(model)


# --- 5: disk full ---


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Callable[[str], Path]]:
    mounted = []

    def mount(size: str) -> Path:
        folder = tmp_path / f"disk-{size}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("size", ["4k", "16k", "32k", "64k", "100k", "150k", "200k"])
def test_disk_full(model, small_disk, tmp_path, monkeypatch, size):
    """From a disk that takes nothing to one that takes nearly all: whoever writes meets its end."""
    disk = small_disk(size)
    monkeypatch.setenv("TMPDIR", str(disk))
    monkeypatch.setattr(tempfile, "tempdir", None)
    said = fails(
        lambda: convert(model, log_file=tmp_path / "vendor.log"),
        "No space left on device|no space left in",
    )
    assert str(disk) in said
    assert not list(disk.iterdir())
    monkeypatch.undo()
    works(model)


def test_export_on_a_full_disk_leaves_the_old_bundle(trained, small_disk, tmp_path, monkeypatch):
    disk = small_disk("64k")
    monkeypatch.setenv("TMPDIR", str(disk))
    monkeypatch.setattr(tempfile, "tempdir", None)
    export_fails(trained, tmp_path, "no space left in|No space left on device")
    assert not list(disk.iterdir())


def test_log_that_cannot_be_kept(model, small_disk, tmp):
    disk = small_disk("4k")
    watcher = while_building(tmp, lambda worker: os.kill(worker, signal.SIGKILL))
    (disk / "full").write_bytes(bytes(4096))
    fails(
        lambda: convert(model, log_file=disk / "vendor.log"),
        r"SIGKILL.*its log could not be kept in .*vendor.log: No space left on device$",
    )
    watcher.join()
    assert [p.name for p in disk.iterdir()] == ["full"]


def test_disk_full_while_the_environment_is_made(small_disk, monkeypatch, model):
    disk = small_disk("30m")
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(disk / "cache"))
    fails(
        lambda: environment.python(lambda _: None),
        r"can't make the converter's environment.*No space left on device",
    )
    assert not list((disk / "cache").iterdir())
    monkeypatch.undo()
    works(model)


# --- 6: corrupt environment ---


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
    (home / environment.STAMP).unlink()
    shutil.rmtree(home / "lib")


def garble_the_stamp(home: Path) -> None:
    (home / environment.STAMP).unlink()
    (home / environment.STAMP).write_text('{"files": ')


DAMAGES = [delete_package, cut_a_file, break_the_interpreter, remove_half, garble_the_stamp]


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
    environment.python(said.append)
    assert "is damaged" in said[0]
    works(model)
    assert [p.name for p in copied.parent.iterdir()] == [copied.name]


def test_damage_that_only_an_import_finds_names_the_command_that_mends_it(copied, model):
    file = next(copied.glob("lib/python*/site-packages/rknn/api/rknn.py"), None) or next(
        copied.glob("lib/python*/site-packages/onnx/__init__.py")
    )
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(b"(" * len(content))  # as long as it was
    fails(
        lambda: convert(model),
        r"can't be loaded: SyntaxError: .*seems damaged: `edge-lstm converter remove` removes it",
    )
    assert main(["converter", "remove"]) == 0


# --- 7: wrong Python ---


def test_wrong_python(trained, tmp_path, monkeypatch, model):
    """edge-lstm on Python 3.14, and uv finds no other."""
    monkeypatch.setattr(environment, "_running", lambda: (3, 14))
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    monkeypatch.setenv("UV_PYTHON_PREFERENCE", "only-managed")
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "pythons"))
    said = export_fails(
        trained,
        tmp_path,
        r"`uv venv` found no Python 3\.10 to 3\.12, which rknn-toolkit2 needs \(this is 3\.14\),",
    )
    assert "install Python 3.11" in said
    assert not list((tmp_path / "cache").iterdir())
    monkeypatch.undo()
    works(model)


# --- more that the vendor's code does ---


def test_traceback_in_the_vendors_code_is_kept_and_ends_in_one_line(model, tmp_path):
    spec, weights = model
    graph = FORMS["cell"](spec, weights, {}).graph
    graph.opset_import[0].version = 21
    log_file = tmp_path / "vendor.log"
    fails(
        lambda: convert(model, graph=graph.SerializeToString(), log_file=log_file),
        r"failed in build: \w+: .*opset 21.*vendor\.log$",
    )
    assert "Traceback (most recent call last)" in log_file.read_text()
    works(model)


@pytest.mark.parametrize(
    ("target", "message"), [("/dev/null", "returned success and wrote no model")]
)
def test_file_of_zero_length(model, monkeypatch, target, message):
    """The vendor's code writes, returns 0, and nothing is there."""
    claim = process.claim_folder

    def with_a_sink():
        folder, lock = claim()
        (folder / "model.rknn").symlink_to(target)
        return folder, lock

    monkeypatch.setattr(process, "claim_folder", with_a_sink)
    fails(lambda: convert(model), message)
    monkeypatch.undo()
    works(model)


def test_file_that_is_cut(model, monkeypatch):
    read = Path.read_bytes
    monkeypatch.setattr(
        Path,
        "read_bytes",
        lambda path: read(path)[:5000] if path.name == "model.rknn" else read(path),
    )
    fails(lambda: convert(model), r"wrote only a part of the model \(5000 bytes\)")


# --- the parent ends ---


def test_interrupted_while_it_builds(model, tmp):
    watcher = while_building(
        tmp, lambda worker: (os.kill(worker, signal.SIGSTOP), os.kill(os.getpid(), signal.SIGINT))
    )
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell starts what it puts into the background with it ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            convert(model, timeout=60)
    finally:
        signal.signal(signal.SIGINT, before)
    watcher.join()
    works(model)


PARENT = """
import sys
sys.path[:0] = {path!r}
from helpers.converter import convert
from helpers.weights import random_model
convert(random_model(1, 8))
"""


def test_worker_does_not_outlive_a_killed_parent(model, tmp):
    """Stopped, it can do nothing itself: as inside the vendor's code. What the parent left is removed by the next run."""
    stopped = threading.Event()

    def stop(worker: int) -> None:
        os.kill(worker, signal.SIGSTOP)
        stopped.set()

    watcher = while_building(tmp, stop)
    path = [str(ROOT), str(ROOT / "export"), str(ROOT / "deploy"), str(ROOT / "tests")]
    parent = subprocess.Popen([sys.executable, "-c", PARENT.format(path=path)])
    try:
        assert stopped.wait(60)
    finally:
        parent.kill()
        parent.wait()
        watcher.join()
    assert gone(str(tmp))
    (left,) = tmp.glob(f"{PREFIX}*")
    os.utime(left, (0, 0))
    works(model)


# --- making the environment ---


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
    assert [p.name for p in cache.iterdir()] == [environment.location().name]
    works(model)
    monkeypatch.setenv("UV_OFFLINE", "1")
    remover = command("converter", "remove")
    assert "removed " in remover.communicate(timeout=60)[0]
    assert remover.returncode == 0
    assert not list(cache.iterdir())


def probe_wheel(folder: Path) -> Path:
    folder.mkdir()
    with zipfile.ZipFile(folder / "edge_lstm_probe-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("edge_lstm_probe.py", "")
        wheel.writestr(
            "edge_lstm_probe-1.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: edge-lstm-probe\nVersion: 1\n",
        )
        wheel.writestr(
            "edge_lstm_probe-1.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr("edge_lstm_probe-1.dist-info/RECORD", "")
    return folder


@pytest.mark.parametrize("way", ["UV_FIND_LINKS", "PIP_FIND_LINKS", "pip.conf"])
def test_wheel_folder_is_used(tmp_path, monkeypatch, way):
    """A package that is nowhere else is found there, without a network."""
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))
    without_network(tmp_path, monkeypatch)
    wheels = probe_wheel(tmp_path / "wheels")
    if way == "pip.conf":
        (tmp_path / "pip.conf").write_text(f"[global]\nfind-links = {wheels}\n")
        monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    else:
        monkeypatch.setenv(way, str(wheels))
    monkeypatch.setattr(environment, "_requirements", lambda: "edge-lstm-probe==1\n")
    monkeypatch.setattr(environment, "_try_out", lambda _: {"python": "-", "rknn-toolkit2": "-"})
    made = environment.python(lambda _: None).parent.parent
    assert list(made.glob("lib/python*/site-packages/edge_lstm_probe.py"))
    assert environment.state().damage is None
    assert environment.remove(lambda _: None) == [made]


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
        "[global]\nindex-url = https://a.example/simple\nextra-index-url =\n  https://b.example\n  https://c.example\n"
        "proxy = http://p.example:1\ncert = /c.pem\nfind-links = /from-file\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_FIND_LINKS", "/from-environment")
    assert environment._index_settings("cp311") == {
        "UV_DEFAULT_INDEX": "https://a.example/simple",
        "UV_INDEX": "https://b.example https://c.example",
        "UV_FIND_LINKS": "/from-environment",
        "SSL_CERT_FILE": "/c.pem",
        "ALL_PROXY": "http://p.example:1",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
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
    assert environment._index_settings("cp311") == {"UV_TORCH_BACKEND": "cpu"}


def test_package_that_is_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(environment, "_requirements", lambda: "edge-lstm-has-no-such-package==1\n")
    fails(
        lambda: environment.python(lambda _: None),
        r"`uv pip install` failed .*edge-lstm-has-no-such-package",
    )
    assert not list((tmp_path / "cache").iterdir())


def test_cache_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGE_LSTM_CACHE", str(tmp_path / "file"))
    fails(
        lambda: environment.python(lambda _: None),
        f"can't use the folder .*file.*{os.strerror(errno.EEXIST)}; EDGE_LSTM_CACHE names another",
    )
