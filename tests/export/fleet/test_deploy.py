"""`edge-lstm deploy` and `fleet status` with real boards: the runtime under test, over real ssh."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from edge_lstm_export.fleet.package import tar_of
from helpers.boards import needs_sshd, script
from helpers.bundles import make_bundle
from helpers.commands import command, edge_lstm, environment, here
from helpers.installed import current, digest, leftovers, tree
from helpers.keys import make_key, sign
from helpers.specs import make_spec

pytestmark = needs_sshd
SPEC = make_spec(hidden=4)
# A program of the board that gets the tar changed: a byte of the member with this ending.
ALTERED = """
import sys
data = bytearray(sys.stdin.buffer.read())
at = data.index({ending!r}) + 512 + 200
data[at] ^= 1
sys.stdout.buffer.write(data)
"""


def versioned(folder: Path, version: int, hidden: int = 4) -> Path:
    """The file har.edge in a folder of its own."""
    path = folder / f"v{version}" / "har.edge"
    path.parent.mkdir()
    spec = make_spec(hidden=hidden)
    make_bundle(path, spec, seed=version, model={"name": "har", "version": version})
    return path


class Release:
    """Versions 2 and 3 of a model. 2, signed, is installed in a board's folder, which remembers."""

    def __init__(self, folder: Path, fleet: Any):
        self.fleet = fleet
        self.to = folder / 'it\'s "the" $HOME folder'
        self.key = folder / "key"
        self.signers = folder / "allowed signers"
        self.signers.write_text(f"me {make_key(self.key)}\n")
        self.old = versioned(folder, 1)
        self.now = versioned(folder, 2)
        self.new = versioned(folder, 3)
        for bundle in (self.old, self.now, self.new):
            sign(bundle, self.key)
        self.options = [f"--trusted={self.signers}", f"--remember={folder / 'versions'}"]
        self.first = fleet.deploy(self.now, self.to, *self.options)


@pytest.fixture(scope="module")
def release(fleet: Any, tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release(tmp_path_factory.mktemp("release"), fleet)


def test_a_bundle_is_installed_and_its_figures_told(release: Release) -> None:
    code, row, err = release.first
    assert (code, row["result"], row["why"], row["step"]) == (0, "installed", None, "swap")
    assert (row["name"], row["version"], row["digest"]) == ("har", 2, digest(release.now))
    assert row["backend"] in ("native", "numpy")
    assert 0 < row["p50_us"] <= row["p99_us"]
    assert 0 <= row["nrmse"] < 1e-5
    assert current(release.to) == digest(release.now)
    assert (release.to / "current/har.edge.sig").read_bytes() == sign(
        release.now, release.key
    ).read_bytes()
    steps = [line.split()[-1] for line in err.splitlines()]
    assert steps == ["receive", "verify", "check", "swap", "installed"]


def test_a_board_that_has_it_says_so(release: Release) -> None:
    before = tree(release.to / "releases")
    code, row, _ = release.fleet.deploy(release.now, release.to, *release.options)
    assert (code, row["result"], row["version"]) == (0, "already", 2)
    assert tree(release.to / "releases") == before


def test_status_tells_the_same(release: Release) -> None:
    row = release.fleet.ask(release.to)
    told = release.first[1]
    same = ("name", "version", "digest", "backend", "nrmse")
    assert [row[key] for key in same] == [told[key] for key in same]
    assert (row["state"], row["ready"], row["serving"], row["why"]) == ("done", None, None, None)


def refused(release: Release, bundle: Path, why: str, **others: Any) -> None:
    before = tree(release.to)
    options = others.pop("options", release.options)
    code, row, err = release.fleet.deploy(bundle, release.to, *options, **others)
    assert (code, row["result"], row["step"]) == (1, "refused", "verify")
    assert why in row["why"]
    assert "\n" not in row["why"]
    assert err.splitlines()[-1].endswith(row["why"])
    assert (row["version"], row["digest"]) == (2, digest(release.now))  # which still runs
    assert tree(release.to) == before
    assert leftovers(release.to) == []


def test_a_bundle_altered_on_the_way(release: Release, tmp_path: Path) -> None:
    command = altered(release, b".edge\0", tmp_path)
    refused(release, release.new, "is not what me (SHA256:", command=command)


def test_a_signature_altered_on_the_way(release: Release, tmp_path: Path) -> None:
    command = altered(release, b".edge.sig\0", tmp_path)
    refused(release, release.new, "har.edge", command=command)


def altered(release: Release, ending: bytes, folder: Path) -> str:
    """The board's program, which gets what is sent with another byte. `--status` is as it is."""
    (folder / "alter.py").write_text(ALTERED.format(ending=ending))
    lines = (
        f'case "$*" in *--status*) exec {release.fleet.command} "$@";; esac\n'
        f"'{sys.executable}' '{folder}/alter.py' | {release.fleet.command} \"$@\""
    )
    return script(folder / "altering", lines)


def test_a_wrong_key(release: Release, tmp_path: Path) -> None:
    other = tmp_path / "har.edge"
    shutil.copy(release.new, other)
    make_key(tmp_path / "key")
    sign(other, tmp_path / "key")
    refused(release, other, "which is not in")


def test_an_expired_key(release: Release, tmp_path: Path) -> None:
    public = release.signers.read_text().removeprefix("me ")
    (tmp_path / "signers").write_text(f'me valid-before="20200101Z" {public}')
    options = [f"--trusted={tmp_path / 'signers'}", release.options[1]]
    refused(release, release.new, "it has expired on 2020-01-01", options=options)


def test_an_older_version(release: Release) -> None:
    refused(release, release.old, "version 1 of 'har', and version 2 ran here before")


# --- here, before any board is reached ---


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["nowhere.edge", "a"], "can't read nowhere.edge: No such file"),
        (["cut.edge", "a"], "cut.edge"),
        (["a.bin", "a"], "a bundle that goes to a board is called NAME.edge; rename the file"),
        (["a.edge"], "there is no board to ask"),
        (["a.edge", "a", "--trusted=x"], "a takes no bundle without a signature (trusted = 'x')"),
        (["other.edge", "a"], "other.edge.sig is the signature of another bundle, or was altered"),
        (["a.edge", "a", "--canary=-1"], "--canary is -1; expected a whole number from 0"),
        (["a.edge", "a", "--wave=0"], "--wave is 0; expected a whole number from 1"),
        (["a.edge", "a", "--parallel=0"], "--parallel is 0; expected a whole number from 1"),
        (["a.edge", "a", "--timeout=nan"], "--timeout is nan; expected seconds, up to 86400"),
        (["a.edge", "--", "-oProxyCommand=x"], "that does not begin with '-'"),
        (["a.edge", "a", "--inventory=none.toml"], "can't read none.toml"),
    ],
)
def test_a_mistake_is_told_before_any_board_is_reached(
    more: list[str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    make_bundle(Path("a.edge"), SPEC)
    Path("a.bin").write_bytes(Path("a.edge").read_bytes())
    Path("cut.edge").write_bytes(Path("a.edge").read_bytes()[:-10])
    make_bundle(Path("other.edge"), SPEC, seed=1)
    make_key(Path("key"))
    sign(Path("a.edge"), Path("key")).rename("other.edge.sig")
    monkeypatch.setenv("PATH", "")  # so no ssh could be started
    code, out, err = here(capfd, "deploy", "--to=x", *more)
    assert (code, out) == (2, "")
    assert why in err
    assert err.startswith("edge-lstm: error: ")
    assert err.count("\n") == 1


def test_without_ssh_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    make_bundle(tmp_path / "a.edge", SPEC)
    monkeypatch.setenv("PATH", "")
    for words in (["deploy", tmp_path / "a.edge"], ["fleet", "status"]):
        code, _, err = here(capfd, *words, "a", "--to=x")
        assert (code, "there is no ssh here" in err) == (2, True)


def test_a_dry_run_reaches_no_board(tmp_path: Path) -> None:
    make_bundle(tmp_path / "a.edge", SPEC, model={"name": "har", "version": 7})
    (tmp_path / "fleet.toml").write_text(
        '[defaults]\nto = "~/the nets"\nreload = "systemctl reload har"\nwatch = 2.5\n'
        'remember = "v"\nallow_downgrade = true\nhealth = "http://127.0.0.1:8080"\n'
        '[[hosts]]\naddress = "a"\n[[hosts]]\nname = "B"\naddress = "me@b"\n'
        'command = "sudo -n edge-lstm"\n'
    )
    done = edge_lstm(
        "deploy", tmp_path / "a.edge", "--dry-run", "--inventory", tmp_path / "fleet.toml", PATH=""
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, *lines = done.stdout.splitlines()
    assert first == f"har version 7, sha256 {digest(tmp_path / 'a.edge')[:12]}, without a signature"
    rest = (
        "install - '--to=the nets' --remember=v '--reload=systemctl reload har' "
        "--health=http://127.0.0.1:8080 --watch=2.5 --allow-downgrade --json"
    )
    assert lines == [
        f"canary: a (a): edge-lstm {rest}",
        f"wave 1: B (me@b): sudo -n edge-lstm {rest}",
    ]


def test_the_tar_is_the_same_each_time() -> None:
    members = {"a.edge": b"1" * 1000, "a.edge.sig": b"2"}
    data = tar_of(members)
    assert data == tar_of(members)
    with tarfile.open(fileobj=BytesIO(data), mode="r:") as tar:
        assert {m.name: tar.extractfile(m).read() for m in tar} == members  # type: ignore[union-attr]


# --- several boards ---


def inventory(fleet: Any, file: Path, rows: dict[str, dict[str, str]]) -> list[str]:
    """Boards at the one sshd, with these keys each -> the options of a command."""
    lines = []
    for name, keys in rows.items():
        table = {"name": name, "address": fleet.boards.address, "command": fleet.command, **keys}
        lines += ["[[hosts]]", f"port = {fleet.port}"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    file.write_text("\n".join(lines))
    return [f"--inventory={file}", *fleet.boards.flags()]


def test_a_canary_that_fails_is_the_only_board_touched(
    fleet: Any, release: Release, tmp_path: Path
) -> None:
    rows = {name: {"to": str(tmp_path / name)} for name in ("a", "b", "c")}
    rows["a"]["trusted"] = str(tmp_path / "no signers")
    options = inventory(fleet, tmp_path / "fleet.toml", rows)
    done = edge_lstm("deploy", release.new, *options)
    assert done.returncode == 1
    assert not (tmp_path / "b").exists()
    _, titles, a, b, c, count = done.stdout.splitlines()
    assert titles.split()[:5] == ["host", "result", "model", "version", "backend"]
    assert a.split()[:2] == ["a", "refused"]
    assert "no signers: No such file or directory" in a
    for line in (b, c):
        assert line.endswith("not begun, because the canary a failed")
        assert line.split()[1:3] == ["not", "reached"]
    assert count == "3 boards: 1 refused, 2 not reached"


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_lets_the_board_under_way_end(
    number: int, fleet: Any, release: Release, tmp_path: Path
) -> None:
    """As Ctrl-C, which goes to all processes of the terminal: the board ends its work."""
    lines = f"touch '{tmp_path}/begun'; sleep 1; exec {fleet.command} \"$@\""
    slow = script(tmp_path / "slow", lines)
    rows = {name: {"to": str(tmp_path / name), "command": slow} for name in ("a", "b")}
    options = inventory(fleet, tmp_path / "fleet.toml", rows)
    with subprocess.Popen(
        command("deploy", release.new, *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
        text=True,
    ) as process:
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "no further board is begun; a will end by itself" in err
    assert err.endswith("edge-lstm: stopped\n")
    assert out.splitlines()[-1] == "2 boards: 1 installed, 1 not reached"
    assert current(tmp_path / "a") == digest(release.new)
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_a_board_that_is_busy_is_waited_for(fleet: Any, release: Release, tmp_path: Path) -> None:
    """As one on which the call of a deploy that was killed goes on."""
    to = tmp_path / "busy"
    to.mkdir()
    code = (
        "import fcntl, os, sys, time\nfcntl.flock(os.open(sys.argv[1], 0), fcntl.LOCK_EX)\n"
        "print(flush=True)\ntime.sleep(8)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(to)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        code, row, err = fleet.deploy(release.new, to)
    assert (code, row["result"]) == (0, "installed")
    assert "  wait\n" in err


@pytest.mark.slow
def test_on_a_terminal_each_board_has_a_line_that_changes(
    fleet: Any, release: Release, tmp_path: Path
) -> None:
    rows = {"a": {"to": str(tmp_path / "a")}}
    options = inventory(fleet, tmp_path / "fleet.toml", rows)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command("deploy", release.new, *options),
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**environment(), "TERM": "xterm"},
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
    os.close(ours)
    assert process.returncode == 0
    steps = ["receive", "verify", "check", "swap"]
    expected = "".join(f"{back}\x1b[Ja  {step}\r\n" for back, step in
                       zip(["", *3 * ["\x1b[1F"]], steps, strict=True))  # fmt: skip
    assert said.decode() == f"{expected}\x1b[1F\x1b[Ja  installed\r\n"


@pytest.mark.slow
def test_boards_that_differ(fleet: Any, release: Release, tmp_path: Path) -> None:
    """Two of the same, one of another, one without any."""
    for name in ("a", "b"):
        shutil.copytree(release.to, tmp_path / name, symlinks=True)
    fleet.deploy(release.new, tmp_path / "c")
    rows = {name: {"to": str(tmp_path / name)} for name in ("c", "a", "b", "none")}
    options = inventory(fleet, tmp_path / "fleet.toml", rows)
    done = edge_lstm("fleet", "status", *options)
    assert done.returncode == 1
    titles, *lines, common, others = done.stdout.splitlines()
    assert titles.split()[:5] == ["host", "state", "model", "version", "sha256"]
    assert [line.split()[:4] for line in lines[:3]] == [
        ["c", "done", "har", "3"], ["a", "done", "har", "2"], ["b", "done", "har", "2"]
    ]  # fmt: skip
    assert "nothing is installed in" in lines[3]
    short = digest(release.now)[:12]
    assert common == f"the same on 2 of 4 boards: har version 2, sha256 {short}"
    assert others == "other: c, none"
    alike = edge_lstm("fleet", "status", "a", "b", "--json", *options)
    found = json.loads(alike.stdout)
    assert (alike.returncode, found["digest"], found["differ"]) == (0, digest(release.now), [])
    assert [row["host"] for row in found["boards"]] == ["a", "b"]
