"""A cluster of Ray: a head and a worker on loopback, in a network of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_lstm.training import checkpoint
from edge_lstm_runtime.files import unsealed_json
from helpers.commands import environment
from helpers.configs import DRAWN

CLASSIFY = f"""{DRAWN}epochs = 2
[search]
draws = 1
hidden_size = [2, 20]
transforms = ["configured"]
"""
# The head has no CPU for tasks, so that the trials run on the worker. Ray wants the token from
# everybody.
CLUSTER = """
set -e
ip link set lo up
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=0123456789abcdef0123456789abcdef
export RAY_USAGE_STATS_ENABLED=0
ray() { PYTHON -c 'from ray.scripts.scripts import main; main()' "$@"; }
begin() {
    ray start --node-ip-address 127.0.0.1 --object-store-memory 80000000 --block "${@:2}" \
        > "$1" 2>&1 &
    for k in $(seq 120); do grep -q "Ray runtime started" "$1" && return; sleep 0.5; done
    cat "$1"; exit 9
}
begin head.log --head --port 6399 --num-cpus 0 --include-dashboard false --temp-dir "$TEMP"
begin worker.log --address 127.0.0.1:6399 --num-cpus 1
PYTHON -m edge_lstm_command search a.toml -o found --engine ray --address 127.0.0.1:6399 \
    --workers 1 --trials 2 --budget "macs<=100"
"""


@pytest.mark.slow
def test_head_and_worker(classify_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.importorskip("ray")
    alone = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--mount-proc"]
    alone += ["--kill-child", "bash", "-c"]
    if not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("needs unshare and ip")
    if subprocess.run([*alone, "ip link set lo up"], check=False, capture_output=True).returncode:
        pytest.skip("no network namespace can be made here")
    folder = classify_csv.parent
    (folder / "a.toml").write_text(CLASSIFY)
    temp = tmp_path_factory.mktemp("r")  # the paths of Ray's sockets must be short
    script = CLUSTER.replace("PYTHON", sys.executable).replace('"$TEMP"', f"/tmp/{temp.name}")
    done = subprocess.run(
        [*alone, script],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    shutil.rmtree(f"/tmp/{temp.name}", ignore_errors=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = unsealed_json((folder / "found" / "search.json").read_bytes())
    assert [row["number"] for row in found["trials"]] == [0, 1]
    for row in found["trials"]:
        assert row["costs"]["float32"]["macs"] <= 100
        trial = folder / "found" / "trials" / f"{row['number']:03d}"
        assert checkpoint.read_json(trial / "values.json") == row["values"]
        assert (trial / "draw0" / "best.pt").exists()
        assert not (trial / "draw0" / "metrics.json").exists()
    assert (folder / "found" / "chosen.toml").exists()
    assert "trial 0: " in done.stderr
