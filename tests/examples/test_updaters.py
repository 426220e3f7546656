"""The Mender module and the RAUC hook, driven as Mender and RAUC document it, on real bundles."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from helpers.keys import needs_openssh
from helpers.releases import EXAMPLES, Board, run

pytestmark = needs_openssh
MODULE = EXAMPLES / "mender/edge-lstm"
HOOK = EXAMPLES / "rauc/hook"


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "board")


class Update:
    """One deployment of Mender: its file tree, and the module that is called in it."""

    def __init__(self, board: Board, tree: Path, version: int):
        self.board = board
        self.tree = tree
        (tree / "tmp").mkdir(parents=True)
        self.bundle = board.release(version, tree / "files")

    def __call__(self, state: str) -> tuple[int, str, str]:
        done = self.board.call(MODULE, state, self.tree)
        return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_mender_installs_commits_and_rolls_back(board: Board, tmp_path: Path) -> None:
    first = Update(board, tmp_path / "first", 1)
    assert first("SupportsRollback") == (0, "Yes\n", "")
    assert first("NeedsArtifactReboot") == (0, "No\n", "")
    assert first("ArtifactInstall")[0] == 0
    assert first("ArtifactCommit") == (0, "", "")
    assert first("Cleanup") == (0, "", "")
    old = first.bundle.read_bytes()
    assert board.runs() == old

    second = Update(board, tmp_path / "second", 2)
    new = second.bundle.read_bytes()
    for _ in range(2):  # a state is repeated after a power cut
        assert second("ArtifactInstall")[0] == 0
        assert board.runs() == new != old
    assert second("ArtifactRollback")[0] == 0
    assert board.runs() == old
    assert second("ArtifactRollback") == (0, "", "")
    assert board.runs() == old


@pytest.mark.slow
def test_mender_leaves_what_runs_if_a_bundle_is_refused(board: Board, tmp_path: Path) -> None:
    first = Update(board, tmp_path / "first", 1)
    assert first("ArtifactInstall")[0] == 0
    forged = Update(board, tmp_path / "forged", 2)
    forged.bundle.write_bytes(forged.bundle.read_bytes() + b"\0")
    code, out, err = forged("ArtifactInstall")
    assert code == 2, err
    last = json.loads(out.splitlines()[-1])
    assert (last["result"], last["step"]) == ("refused", "verify")
    assert forged("ArtifactRollback") == (0, "", "")
    assert board.runs() == first.bundle.read_bytes()


def test_mender_wants_one_bundle(board: Board, tmp_path: Path) -> None:
    update = Update(board, tmp_path / "update", 1)
    update.bundle.rename(update.bundle.with_name("model.bin"))
    code, out, err = update("ArtifactInstall")
    assert (code, out) == (1, "")
    assert err.startswith("expected one file NAME.edge in the payload")
    assert update("ArtifactFailure") == (0, "", "")


@pytest.mark.slow
def test_nothing_to_roll_back_to_is_said(board: Board, tmp_path: Path) -> None:
    update = Update(board, tmp_path / "update", 1)
    assert update("ArtifactInstall")[0] == 0
    code, _, err = update("ArtifactRollback")
    assert (code, err) == (1, f"no bundle ran here before, so this one stays in {board.model}\n")
    assert board.runs() == update.bundle.read_bytes()


def test_mender_artifact_takes_the_payload(board: Board, tmp_path: Path) -> None:
    tool = shutil.which("mender-artifact")
    if tool is None:
        pytest.skip("there is no mender-artifact here (apt install mender-artifact)")
    bundle = board.release(1, tmp_path)
    out = tmp_path / "model.mender"
    asked = [tool, "write", "module-image", "-T", "edge-lstm", "-t", "orangepi5", "-n", "gesture-1"]
    asked += ["-o", str(out), "-f", str(bundle), "-f", f"{bundle}.sig"]
    done = run(asked)
    assert done.returncode == 0, done.stderr
    told = run([tool, "read", str(out)])
    assert told.returncode == 0, told.stderr
    for part in ("gesture-1", "edge-lstm", "model.edge", "model.edge.sig"):
        assert part in told.stdout


def as_tar(bundle: Path) -> Path:
    out = bundle.with_name("model.tar")
    with tarfile.open(out, "w") as archive:
        for path in (bundle, bundle.with_name("model.edge.sig")):
            archive.add(path, path.name)
    return out


@pytest.mark.slow
def test_the_hook_of_rauc_fills_its_slot(board: Board, tmp_path: Path) -> None:
    bundle = board.release(1, tmp_path / "one")
    done = board.call(HOOK, "slot-install", RAUC_IMAGE_NAME=str(as_tar(bundle)))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert json.loads(done.stderr.splitlines()[-1])["result"] == "installed"
    assert board.runs() == bundle.read_bytes()

    forged = board.release(2, tmp_path / "two")
    forged.write_bytes(forged.read_bytes() + b"\0")
    done = board.call(HOOK, "slot-install", RAUC_IMAGE_NAME=str(as_tar(forged)))
    assert done.returncode != 0
    assert board.runs() == bundle.read_bytes()


def test_the_hook_of_rauc_has_no_other(board: Board) -> None:
    done = board.call(HOOK, "install-check")
    assert (done.returncode, done.stderr) == (1, "this hook has no 'install-check'\n")


def test_rauc_makes_and_verifies_the_bundle(board: Board, tmp_path: Path) -> None:
    tools = {name: shutil.which(name) for name in ("rauc", "mksquashfs", "openssl")}
    if lacking := [name for name, path in tools.items() if path is None]:
        pytest.skip(f"there is no {lacking[0]} here (apt install rauc squashfs-tools openssl)")
    bundle = board.release(1, tmp_path / "release")
    content = tmp_path / "content"
    content.mkdir()
    shutil.move(as_tar(bundle), content / "model.tar")
    for name in ("manifest.raucm", "hook"):
        shutil.copy(EXAMPLES / "rauc" / name, content)
    for name in ("ours", "others"):
        asked = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        asked += ["-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"]
        assert run(asked, folder=tmp_path).returncode == 0
    asked = ["rauc", "bundle", "--cert=ours.pem", "--key=ours.key", "content", "model.raucb"]
    done = run(asked, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    told = run(["rauc", "info", "--keyring=ours.pem", "model.raucb"], folder=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "Compatible: \t'edge-lstm-example'" in told.stdout
    assert "model.tar" in told.stdout
    assert run(["rauc", "info", "--keyring=others.pem", "model.raucb"], folder=tmp_path).returncode
