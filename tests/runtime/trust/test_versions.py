"""The highest version is remembered, and an older one is refused."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edge_lstm_runtime as rt
from edge_lstm_runtime.model.npz import write_npz
from helpers.bundles import make_bundle
from helpers.commands import edge_lstm, here
from helpers.keys import make_key, needs_openssh, sign


def made(folder: Path, version: int, name: str = "gesture") -> Path:
    path = folder / f"{name}-{version}.edge"
    if not path.exists():
        make_bundle(path, model={"name": name, "version": version}, steps=2)
    return path


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


def ran(path: Path, **options: Any) -> None:
    """Load it, and open a session."""
    rt.load(path, **options).session("numpy").close()


def kept(memory: Path, name: str = "gesture") -> int:
    return int(json.loads((memory / f"{name}.json").read_text())["version"])


def test_an_older_version_is_refused(bundles: Path, tmp_path: Path) -> None:
    memory = tmp_path / "deep" / "memory"
    for version in (1, 3, 3):
        ran(made(bundles, version), remember=memory)
    with pytest.raises(rt.OlderVersionError) as caught:
        rt.load(made(bundles, 2), remember=memory)
    assert str(caught.value) == (
        f"{bundles / 'gesture-2.edge'} is version 2 of 'gesture', and version 3 ran here "
        f"before ({memory}); export it with a higher --version, or allow it by --allow-downgrade"
    )
    assert kept(memory) == 3
    ran(made(bundles, 1, "other"), remember=memory)  # another model has its own
    ran(made(bundles, 2))  # whoever asks for no memory gets none


def test_an_older_version_that_is_allowed_takes_the_place(
    bundles: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ran(made(bundles, 3), remember=tmp_path)
    with caplog.at_level(logging.WARNING, "edge_lstm"):
        ran(made(bundles, 1), remember=tmp_path, allow_downgrade=True)
    assert "is version 1 of 'gesture', and version 3 ran here before" in caplog.text
    assert caplog.text.rstrip().endswith("the older version is allowed")
    assert kept(tmp_path) == 1
    ran(made(bundles, 1), remember=tmp_path)  # after a roll-back it runs as any other


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=8))
def test_any_order_of_versions(
    bundles: Path, tmp_path_factory: pytest.TempPathFactory, loads: list[tuple[int, bool]]
) -> None:
    memory = tmp_path_factory.mktemp("memory")
    highest = 0
    for version, allowed in loads:
        if version < highest and not allowed:
            with pytest.raises(rt.OlderVersionError):
                rt.load(made(bundles, version), remember=memory)
        else:
            ran(made(bundles, version), remember=memory, allow_downgrade=allowed)
            highest = version
        assert kept(memory) == highest


def test_many_at_once(bundles: Path, tmp_path: Path) -> None:
    """Whatever the order, the highest one is kept, and nothing is left beside it."""
    paths = [made(bundles, version) for version in range(1, 9)]

    def load(path: Path) -> bool:
        try:
            ran(path, remember=tmp_path)
        except rt.OlderVersionError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(load, paths))
    assert taken[-1]
    assert kept(tmp_path) == 8
    assert [path.name for path in tmp_path.iterdir()] == ["gesture.json"]


def test_a_bundle_that_never_ran_leaves_no_trace(bundles: Path, tmp_path: Path) -> None:
    """Its backend is wrong on its golden samples: a roll-back must not be refused."""
    bundle = rt.read_bundle(made(bundles, 3))
    golden = bundle.arrays("golden.npz")
    golden["y"] = golden["y"] + 1
    path = tmp_path / "wrong.edge"
    facts = {"model": bundle.manifest["model"]}
    rt.write_bundle(path, bundle.spec, bundle.weights, {"golden.npz": write_npz(golden)}, **facts)
    memory = tmp_path / "memory"
    ran(made(bundles, 2), remember=memory)
    with pytest.raises(rt.BackendError):
        ran(path, remember=memory)
    assert kept(memory) == 2


def test_a_bundle_without_a_version(tmp_path: Path) -> None:
    make_bundle(tmp_path / "a.edge")
    with pytest.raises(rt.BundleError, match="has no name and version to remember; export it ag"):
        rt.load(tmp_path / "a.edge", remember=tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"version": "9"}', b"\xff"])
def test_a_damaged_memory_refuses(bundles: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "gesture.json").write_bytes(content)
    with pytest.raises(rt.ConfigError, match=r"gesture.json is damaged \(.*delete it if you tru"):
        rt.load(made(bundles, 1), remember=tmp_path)


def test_every_changed_byte_of_the_memory_is_found_or_changes_nothing(
    bundles: Path, tmp_path: Path
) -> None:
    ran(made(bundles, 3), remember=tmp_path)
    file = tmp_path / "gesture.json"
    good = file.read_bytes()
    for place in range(len(good)):
        file.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises((rt.ConfigError, rt.OlderVersionError)):
            rt.load(made(bundles, 2), remember=tmp_path)


def test_a_memory_that_cannot_be_written(bundles: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").touch()
    with pytest.raises(rt.ConfigError, match=r"can't read the version in .*: Not a directory"):
        ran(made(bundles, 1), remember=tmp_path / "folder")
    (tmp_path / "gesture.json").mkdir()
    with pytest.raises(rt.ConfigError, match=r"can't read the version in .*: Is a directory"):
        ran(made(bundles, 1), remember=tmp_path)
    with pytest.raises(rt.ConfigError, match="can't write /proc/"):
        ran(made(bundles, 1), remember="/proc")
    with pytest.raises(rt.ConfigError, match=r"the folder /proc/new can't be made: "):
        ran(made(bundles, 1), remember="/proc/new")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"name": "gesture"}, r"the manifest's model has \['name'\], expected name, version"),
        ({"name": "../up", "version": 1}, r"the name is '../up'; expected 1 to 64 letters"),
        ({"name": "a\n", "version": 1}, r"the name is 'a\\n'; expected"),
        ({"name": "", "version": 1}, "the name is ''; expected"),
        ({"name": "a" * 65, "version": 1}, "expected 1 to 64 letters"),
        ({"name": "a", "version": 0}, "the version is 0; expected a whole number from 1"),
        ({"name": "a", "version": True}, "the version is True; expected a whole number"),
        ({"name": "a", "version": 1.5}, "the version is 1.5; expected a whole number"),
        ({"name": "a", "version": 2**53}, "expected a whole number from 1 to 9007199254740991"),
        ([], r"the manifest's model has \[\], expected"),
        (3, "malformed manifest"),
    ],
)
def test_a_name_or_version_that_is_none(tmp_path: Path, model: object, said: str) -> None:
    with pytest.raises(rt.BundleError, match=said):
        make_bundle(tmp_path / "a.edge", model=model)


@pytest.mark.parametrize(
    ("provenance", "said"),
    [
        ({"trained": "yesterday"}, "has trained 'yesterday', expected a time such as 2026-"),
        ({"trained": 3}, "is no list of texts"),
        ([], "malformed manifest"),
    ],
)
def test_a_provenance_that_is_none(tmp_path: Path, provenance: object, said: str) -> None:
    with pytest.raises(rt.BundleError, match=said):
        make_bundle(tmp_path / "a.edge", provenance=provenance)


def test_run_remembers_and_check_compares(
    bundles: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    memory = tmp_path / "memory"
    lines = tmp_path / "lines"
    lines.write_text("1,2,3\n")
    options = ["--remember", memory, "--backend", "numpy"]
    assert here(capfd, "check", made(bundles, 2), *options)[0] == 0
    assert not memory.exists()
    assert here(capfd, "run", made(bundles, 2), "--input", lines, *options)[0] == 0
    assert kept(memory) == 2
    for verb, *more in (("check",), ("run", "--input", lines)):
        code, out, err = here(capfd, verb, made(bundles, 1), *more, *options)
        assert (code, out) == (2, "")
        assert "is version 1 of 'gesture', and version 2 ran here" in err
        assert len(err.splitlines()) == 1
    done = edge_lstm("run", made(bundles, 1), "--input", lines, *options, "--allow-downgrade")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr.endswith("the older version is allowed\n")
    assert kept(memory) == 1
    code, _, err = here(capfd, "check", made(bundles, 1), "--allow-downgrade")
    assert (code, err) == (
        2, "edge-lstm: error: --allow-downgrade is for --remember FOLDER; leave it out\n"
    )  # fmt: skip


@needs_openssh
@pytest.mark.parametrize("fault", ["bundle", "signature", "key", "expired", "older"])
def test_five_of_five_are_refused_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], fault: str
) -> None:
    """Tampered bundle, tampered signature, wrong key, expired key, older version. Before the fault
    the bundle is taken."""
    bundle = made(tmp_path, 2)
    mine = make_key(tmp_path / "mine")
    make_key(tmp_path / "yours")
    trusted = tmp_path / "trusted"
    trusted.write_text(f"me {mine}\n")
    signature = sign(bundle, tmp_path / "mine")
    lines = tmp_path / "lines"
    lines.write_text("1,2,3\n")
    options = ["--trusted", trusted, "--remember", tmp_path / "memory", "--input", lines]
    command = ["run", bundle, "--backend", "numpy", *options]
    assert here(capfd, *command)[0] == 0
    if fault == "bundle":
        data = bytearray(bundle.read_bytes())
        data[100] ^= 1
        bundle.write_bytes(data)
    elif fault == "signature":
        text = signature.read_text()
        signature.write_text(text[:-60] + ("A" if text[-60] != "A" else "B") + text[-59:])
    elif fault == "key":
        sign(bundle, tmp_path / "yours")
    elif fault == "expired":
        trusted.write_text(f'me valid-before="20260101Z" {mine}\n')
    else:
        ran(made(tmp_path, 3), remember=tmp_path / "memory")
    code, out, err = here(capfd, *command)
    assert (code, out) == (2, "")
    assert err.startswith("edge-lstm: error: ")
    assert len(err.splitlines()) == 1
    assert {
        "bundle": "is not what me (SHA256:",
        "signature": "is not what me (SHA256:",
        "key": "is signed by the key SHA256:",
        "expired": "it has expired on 2026-01-01 00:00:00Z",
        "older": "and version 3 ran here before",
    }[fault] in err
