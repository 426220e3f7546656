"""A bundle into a folder: what is there afterwards, and what is refused."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import ConfigError
from edge_lstm_runtime.files import one_at_a_time
from edge_lstm_runtime.model.npz import write_npz
from helpers.broken_bundles import rewritten
from helpers.commands import command, edge_lstm, environment
from helpers.installed import current, digest, install, leftovers, status, tree
from helpers.keys import make_key, needs_openssh, sign
from helpers.specs import make_spec


def nothing_changed(to: Path, bundle: Path | str, why: str, *more: str | Path, **given) -> str:
    before = tree(to) if to.is_dir() else None
    found = install(bundle, to, *more, **given)
    assert (found["result"], found["code"]) == ("refused", 2)
    assert why in found["why"], found["why"]
    assert (tree(to) if to.is_dir() else None) == before
    assert not to.is_dir() or leftovers(to) == []
    return found["why"]


def test_the_first_the_same_and_the_next(make, to) -> None:
    one, two = make(1), make(2)
    found = install(one, to)
    assert found["result"] == "installed"
    assert (found["name"], found["version"], found["was"]) == ("room", 1, None)
    assert found["digest"] == digest(one) == current(to)
    assert found["steps"] == ["receive", "verify", "check", "swap"]
    with rt.load(one).session(found["backend"]) as s:
        y = s.run(rt.read_bundle(one).golden[0])
    golden = rt.read_bundle(one).golden[1]
    nrmse = np.sqrt(np.mean((y - golden) ** 2)) / golden.std()
    assert found["nrmse"] == pytest.approx(nrmse, rel=1e-3, abs=1e-9)
    assert 0 < found["p50_us"] <= found["p99_us"]

    before = tree(to)
    again = install(one, to)
    assert (again["result"], again["steps"]) == ("already", ["receive", "verify", "check"])
    assert {k: v for k, v in tree(to).items() if k != "install.json"} == {
        k: v for k, v in before.items() if k != "install.json"
    }
    found = install(two, to)
    assert (found["result"], found["version"]) == ("installed", 2)
    assert found["was"] == {"name": "room", "version": 1, "digest": digest(one)}
    assert current(to) == digest(two)
    assert sorted(tree(to)) == sorted(
        ["current", "install.json", *(f"releases/{digest(b)[:16]}/room.edge" for b in (one, two))]
    )
    told = status(to)
    assert (told["code"], told["state"], told["why"]) == (0, "done", None)
    assert (told["name"], told["version"], told["digest"]) == ("room", 2, digest(two))
    assert (told["backend"], told["nrmse"]) == (found["backend"], found["nrmse"])
    assert (told["ready"], told["serving"]) == (None, None)
    assert [r["digest"] for r in told["releases"]] == [digest(two), digest(one)]


@pytest.mark.slow
def test_back_and_how_many_stay(make, to) -> None:
    bundles = [make(v) for v in (1, 2, 3)]
    for bundle in bundles:
        install(bundle, to, "--keep-releases", "3")
    found = install("", to, "--back")
    assert (found["result"], found["version"], found["was"]["version"]) == ("installed", 2, 3)
    assert current(to) == digest(bundles[1])
    found = install(make(4), to)  # keeps two: the one before is 2
    assert sorted(p.name for p in (to / "releases").iterdir()) == sorted(
        [found["digest"][:16], digest(bundles[1])[:16]]
    )
    assert install("", to, "--back")["version"] == 2
    install(make(5), to, "--keep-releases", "1")
    assert len(list((to / "releases").iterdir())) == 1
    nothing_changed(to, "", "has no release before the current one; install one", "--back")


def test_the_name_of_the_file_stays(tmp_path, make, to) -> None:
    """A service reads current/NAME.edge again after a reload, and keeps its state by NAME."""
    named = make(1)
    other = named.rename(tmp_path / "v1-final.edge")
    install(other, to)
    assert (to / "current" / "room.edge").is_file()
    unnamed = tmp_path / "plain"
    for seed, stem in ((1, "a"), (2, "b"), (2, "c")):
        rt_bundle = make(1, seed=seed)
        data = rewritten(rt_bundle.read_bytes(), lambda m, _: m.pop("model") and None)
        (tmp_path / f"{stem}.edge").write_bytes(data)
        found = install(tmp_path / f"{stem}.edge", unnamed)
        assert (found["name"], found["version"]) == ("a", None)
        assert (unnamed / "current" / "a.edge").is_file()
    assert found["result"] == "already"
    assert install(other, unnamed)["name"] == "room"  # it has a name from now on
    nothing_changed(unnamed, tmp_path / "a.edge", "has no name, and ")


def test_from_standard_input(make, to) -> None:
    bundle = make(1)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.add(bundle, "room.edge")
    data = buffer.getvalue()
    nothing_changed(to, "-", "is cut off", text=data[:-11000])
    assert not to.exists()
    nothing_changed(to, "-", "is no tar archive", text=b"PK\3\4" * 200)
    nothing_changed(to, "-", "is cut off", text=b"")
    assert install("-", to, text=data)["digest"] == current(to) == digest(bundle)
    changed = bytearray(data)
    changed[512 + 300] ^= 1
    nothing_changed(to, "-", "room.edge", text=bytes(changed))


@needs_openssh
def test_what_is_not_trusted(make, to, tmp_path) -> None:
    """Tampered bundle, tampered signature, wrong key, expired key, older version: each one line."""
    keys = {name: make_key(tmp_path / name) for name in ("mine", "other", "late")}
    signers = tmp_path / "signers"
    signers.write_text(f'me {keys["mine"]}\nlate valid-before="20200101Z" {keys["late"]}\n')
    two, three = make(2), make(3)
    versions = tmp_path / "versions"
    options = ("--trusted", signers, "--remember", versions)
    sign(two, tmp_path / "mine")
    assert install(two, to, *options)["result"] == "installed"
    assert json.loads((versions / "room.json").read_text())["version"] == 2

    nothing_changed(to, three, "can't read the signature", *options)
    sign(three, tmp_path / "other")
    why = nothing_changed(to, three, "which is not in", *options)
    assert why.startswith(f"{three} is signed by the key SHA256:")
    sign(three, tmp_path / "late")
    nothing_changed(to, three, "it has expired on 2020-01-01", *options)
    signature = sign(three, tmp_path / "mine")
    good = signature.read_text()
    lines = good.splitlines()
    lines[3] = lines[3][:10] + ("A" if lines[3][10] != "A" else "B") + lines[3][11:]
    signature.write_text("\n".join(lines) + "\n")
    nothing_changed(to, three, "", *options)
    signature.write_text(good)
    data = three.read_bytes()
    three.write_bytes(data[:500] + bytes([data[500] ^ 1]) + data[501:])
    nothing_changed(to, three, "is not what me (SHA256:", *options)
    one = make(1)
    sign(one, tmp_path / "mine")
    nothing_changed(to, one, "is version 1 of 'room', and version 2 ran here before", *options)
    assert json.loads((versions / "room.json").read_text())["version"] == 2
    assert install(one, to, *options, "--allow-downgrade")["version"] == 1
    assert json.loads((versions / "room.json").read_text())["version"] == 1
    assert (to / "current" / "room.edge.sig").is_file()


@needs_openssh
def test_a_forgotten_flag_opens_no_door(make, to, tmp_path) -> None:
    to.mkdir(parents=True)
    (to / "allowed_signers").write_text(f"me {make_key(tmp_path / 'mine')}\n")
    (to / "versions").mkdir()
    two = make(2)
    nothing_changed(to, two, "can't read the signature")
    sign(two, tmp_path / "mine")
    install(two, to)
    one = make(1)
    sign(one, tmp_path / "mine")
    nothing_changed(to, one, "version 2 ran here before")
    (to / "allowed_signers").unlink()
    (to / "allowed_signers").symlink_to("nowhere")
    nothing_changed(to, make(3), "expected a file of trusted keys")


def test_wrong_answers_here(make, to) -> None:
    """The golden samples were made with other weights. All checksums are right."""
    install(make(1), to)
    bad = make(2)
    x, y = rt.read_bundle(bad).golden

    def change(_, members) -> None:
        members["golden.npz"] = write_npz({"x": x, "y": y + 0.5})

    bad.write_bytes(rewritten(bad.read_bytes(), change))
    nothing_changed(to, bad, "no backend gives right answers here: ")


@pytest.mark.slow
def test_a_backend_that_dies_or_hangs(make, to, tmp_path) -> None:
    """In the process of the check, and not in this one. The others answer without the one that
    dies."""
    from helpers.plug_ins import plug_in

    source = """
import os, signal, time
from edge_lstm_runtime import Facts
FACTS = Facts("float32", runs_on="npu")
def open_backend(bundle, *, artifact=None):
    {}
"""

    def environ(name: str, line: str) -> dict[str, str]:
        folder = tmp_path / name
        folder.mkdir()
        plug_in(folder, name, **{name: source.format(line)})
        path = os.pathsep.join([environment()["PYTHONPATH"], str(folder)])
        return {
            "PYTHONPATH": path,
            "EDGE_LSTM_OPEN_SECONDS": "0.001",
            "EDGE_LSTM_CACHE": str(tmp_path / "cache"),
            "EDGE_LSTM_REMEMBER": "1",
        }

    hangs = environ("hangs", "time.sleep(600)")
    why = "the check on this machine hangs: it was not done after 5 s"
    nothing_changed(to, make(1), why, **hangs)
    dies = environ("dies", "os.kill(os.getpid(), signal.SIGSEGV)")
    nothing_changed(to, make(1), "ended by SIGSEGV", **{**dies, "EDGE_LSTM_REMEMBER": "0"})
    assert not to.exists()
    assert install(make(1), to, **dies)["result"] == "installed"


def test_another_model(make, to) -> None:
    install(make(1), to)
    nothing_changed(
        to, make(2, name="pump"), f"has the name 'pump', and {to} is for 'room'; install it into"
    )


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("--reload no-such-program", "--reload: there is no program 'no-such-program'"),
        ("--reload ''", "--reload is empty; expected a command"),
        ("--reload '\"'", "--reload is '\"': No closing quotation"),
        ("--health https://a", "--health is 'https://a'; expected http://HOST:PORT"),
        ("--health localhost:80", "--health is 'localhost:80'; expected http://HOST:PORT"),
        ("--health http://a:b", "--health is 'http://a:b'; expected http://HOST:PORT"),
        ("--health http://me@a/", "expected http://HOST:PORT"),
        ("--health 'http://a/?x=1'", "expected http://HOST:PORT"),
        ("--watch 0", "--watch is 0.0; expected seconds above 0"),
        ("--watch nan", "--watch is nan; expected seconds above 0"),
        ("--keep-releases 0", "--keep-releases is 0; expected at least 1"),
        ("--allow-downgrade", "--allow-downgrade is for --remember FOLDER; leave it out"),
        ("--back", "--back takes no bundle"),
    ],
)
def test_wrong_options(more: str, why: str, tmp_path, to, capfd) -> None:
    import shlex

    from helpers.commands import here

    (tmp_path / "a.edge").write_bytes(b"not looked at")
    code, out, err = here(
        capfd, "install", tmp_path / "a.edge", "--to", to, "--json", *shlex.split(more)
    )
    assert code == 2
    assert why in err
    assert json.loads(out)["result"] == "refused"
    assert not to.exists()


def test_places_that_are_no_folder_for_it(make, to, tmp_path) -> None:
    bundle = make(1)
    to.parent.mkdir()
    to.write_text("mine")
    assert "is the file" in install(bundle, to)["why"]
    assert to.read_text() == "mine"
    to.unlink()
    assert "no file can be made in /proc" in install(bundle, Path("/proc/room"))["why"]
    (to / "current").mkdir(parents=True)
    nothing_changed(to, bundle, "is no link; expected one to a release")
    (to / "current").rmdir()
    (to / "current").symlink_to("../elsewhere")
    nothing_changed(to, bundle, "is a link to ../elsewhere; expected releases/DIGEST")
    nothing_changed(to, tmp_path / "no.edge", "is a link to")
    (to / "current").unlink()
    (to / "releases").mkdir()
    (to / "releases" / "mine.tmp").write_text("no release")
    (to / "releases" / ".git").mkdir()
    assert install(bundle, to)["result"] == "installed"
    assert {"mine.tmp", ".git"} < {p.name for p in (to / "releases").iterdir()}


def test_two_at_once(make, to) -> None:
    to.mkdir(parents=True)
    with one_at_a_time(to, ConfigError):
        nothing_changed(to, make(1), "another process holds it and is writing there")


def test_a_damaged_release_is_mended(make, to) -> None:
    one = make(1)
    install(one, to)
    (to / "current" / "room.edge").write_bytes(one.read_bytes()[:-5])
    assert "can't be read: install it again" in status(to)["why"]
    assert install(one, to)["result"] == "installed"
    assert current(to) == digest(one)
    (to / "install.json").write_text("{")
    assert (status(to)["state"], status(to)["code"]) == ("unknown", 0)
    assert install(one, to)["result"] == "installed"
    assert status(to)["state"] == "done"


def test_nothing_there(to) -> None:
    told = status(to)
    assert (told["code"], told["state"], told["releases"]) == (1, "none", [])
    assert told["why"] == f"nothing is installed in {to}"
    assert not to.exists()
    nothing_changed(to, "", "has no release before", "--back")
    assert not to.exists()


def test_nobody_reads_the_output(make, to) -> None:
    """As if ssh had gone: the work goes on."""
    script = f"{' '.join(command('install', make(1), '--to', to, '--json'))} | :"
    done = subprocess.run(["bash", "-c", script], env=environment(), stderr=subprocess.PIPE)
    assert done.stderr == b""
    assert status(to)["state"] == "done"


def test_plain_lines(make, to) -> None:
    done = edge_lstm("install", make(1), "--to", to)
    assert done.returncode == 0
    first, *_, last = done.stdout.splitlines()
    assert first == "receive: the bundle is received"
    assert last.startswith(f"installed: room version 1 ({current(to)[:12]}), ")
    done = edge_lstm("install", "--status", "--to", to)
    assert done.stdout.startswith(f"current: room version 1 ({current(to)[:12]}), ")
    assert edge_lstm("install", "--to", to).stderr == (
        "edge-lstm: error: expected a BUNDLE, or - for a tar on standard input, --status or "
        "--back\n"
    )


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("mount"), reason="only root may mount")
def test_a_full_disk(make, to, tmp_path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        to = disk / "room"
        assert install(make(1), to)["result"] == "installed"
        big = make(2, spec=make_spec(channels=("temp", "load"), hidden=64))
        nothing_changed(to, big, "No space left on device; make room")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
