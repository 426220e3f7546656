"""How many samples a second `edge-lstm serve` answers, and how late, beside its broker.

    python benchmarks/serve.py [--seconds 5] [--bundle NAME.edge]

A mosquitto on loopback, a publisher that also subscribes, 16 streams of 6 channels. The same
messages go to a bare loop of paho, which sends each message back as it is: what Python and the
broker alone take. Then the service's own CPU time, without a transport: one message alone, and one
of each of 16 streams, which are answered together. Then the lag at 1,000 messages a second, the
memory, and the time from the start to the first answer. The million samples with faults are a test:
`EDGE_LSTM_ALL_FAULTS=1 pytest tests/runtime/serve/test_faults.py`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "deploy"), str(ROOT / "export"), str(ROOT / "tests")]

STREAMS = 16
CHANNELS = 6
FORMS = {"JSON, 1 a message": (1, "json"), "JSON, 32": (32, "json"), "float32, 32": (32, "float32")}


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def broker(folder: Path, port: int) -> subprocess.Popen[bytes]:
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
        f"persistence true\npersistence_location {folder}/\nautosave_interval 1\nuser root\n"
    )
    mosquitto = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    process = subprocess.Popen([mosquitto, "-c", str(config)], stderr=subprocess.DEVNULL)
    until(lambda: reachable(port), 5)
    return process


def reachable(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def until(done: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.01)


def client(name: str, port: int) -> Any:
    from paho.mqtt import client as paho
    from paho.mqtt import enums

    made: Any = paho.Client(enums.CallbackAPIVersion.VERSION2, client_id=name)
    made.max_inflight_messages_set(1000)
    made.connect("127.0.0.1", port)
    return made


def echo(port: int) -> None:
    """The bare loop: one thread, each message back as it is."""
    c = client("echo", port)
    c.on_message = lambda c, _, m: c.publish(f"{m.topic}/answer", m.payload)
    c.subscribe("s/+/raw")
    c.loop_forever()


def publish(port: int, form: str, count: int, seconds: float, rate: float) -> None:
    """rate: messages a second, 0 for as many as the window of unanswered ones allows."""
    xs = np.random.default_rng(0).normal(0, 1, (count, CHANNELS)).round(3)
    sent = 0
    answered = 0

    def on_message(*_: object) -> None:
        nonlocal answered
        answered += 1

    c = client("publisher", port)
    c.on_message = on_message
    c.subscribe("s/+/raw/answer")
    start = time.monotonic()
    lags: list[float] = []
    if rate:
        c.on_message = lambda _, __, m: lags.append(time.time() - json.loads(m.payload)["ts"])
    binary = xs.astype("<f4").tobytes()
    text = json.dumps(xs.tolist() if count > 1 else xs[0].tolist())
    while (now := time.monotonic()) - start < seconds:
        c.loop(0.0005 if rate else 0)
        while sent < (now - start) * rate if rate else sent - answered < 400:
            data: Any = binary if form == "float32" else text
            if rate:
                data = json.dumps({"ts": time.time(), "samples": xs.tolist()})
            c.publish(f"s/{sent % STREAMS}/raw", data)
            sent += 1
    took = time.monotonic() - start
    end = time.monotonic() + 1
    while rate and time.monotonic() < end:
        c.loop(0.01)
    print(json.dumps({"rate": answered * count / took, "sent": sent, "lags": lags}), flush=True)


def published(port: int, form: str, count: int, seconds: float, rate: float = 0) -> dict[str, Any]:
    done = subprocess.run(
        [
            sys.executable,
            __file__,
            "--publish",
            str(port),
            form,
            str(count),
            str(seconds),
            str(rate),
        ],
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class Service:
    """`edge-lstm serve` in a process of its own."""

    def __init__(self, bundle: Path, port: int, *options: str):
        self.http = free_port()
        words = ["serve", str(bundle), "--http", f"127.0.0.1:{self.http}", "--backend", "native"]
        if port:
            words += ["--mqtt", f"mqtt://127.0.0.1:{port}", "--topic", "s/+/raw"]
        start = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge_lstm_command", *words, *options],
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": ":".join(sys.path[:4]), "PATH": "/usr/bin:/bin"},
        )
        until(lambda: self.get("/healthz"), 20)
        self.begin = time.monotonic() - start

    def get(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=2) as r:
                return bool(r.status == 200)
        except OSError:
            return False

    @property
    def memory(self) -> float:
        """Resident, MB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0]) * 1024 / 1e6

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(20)


def throughput(bundle: Path, port: int, seconds: float) -> None:
    print(f"{'':22}{'samples/s':>12}{'bare loop':>12}{'ratio':>8}")
    for label, (count, form) in FORMS.items():
        bare = multiprocessing.Process(target=echo, args=(port,), daemon=True)
        bare.start()
        time.sleep(0.5)
        plain = published(port, form, count, seconds)["rate"]
        bare.terminate()
        bare.join()
        service = Service(bundle, port, "--payload", form, "--qos", "0")
        until(partial(service.get, "/readyz"), 10)
        own = published(port, form, count, seconds)["rate"]
        memory = service.memory
        service.end()
        print(
            f"{label:22}{own:12,.0f}{plain:12,.0f}{own / plain:8.2f}   {memory:.1f} MB", flush=True
        )


def together(bundle: Path) -> None:
    import edge_lstm_runtime as rt
    from edge_lstm_runtime.serve.core import Core, Message, Options
    from edge_lstm_runtime.serve.models import serve_bundle

    core = Core({"m": serve_bundle(rt.load(bundle), bundle, "native", None)}, Options())
    data = json.dumps([0.1] * CHANNELS).encode()
    answers: list[bytes] = []
    found = {}
    for streams in (1, STREAMS):
        messages = [Message("m", f"s{k}", data, "json", answers.append) for k in range(streams)]
        took = []
        for _ in range(500):
            start = time.process_time()
            core._answer(messages)
            took.append((time.process_time() - start) / streams)
        found[streams] = 1e6 * statistics.median(took)
    print(
        f"CPU time of a message: {found[1]:.1f} µs alone, {found[STREAMS]:.1f} µs with one of each "
        f"of {STREAMS} streams: {found[STREAMS] / found[1]:.2f}"
    )


def lag(bundle: Path, port: int, seconds: float) -> None:
    service = Service(bundle, port, "--qos", "0")
    until(lambda: service.get("/readyz"), 10)
    lags = sorted(published(port, "json", 1, seconds, 1000)["lags"])
    service.end()
    p99 = lags[int(0.99 * len(lags))]
    print(
        f"lag at 1,000 messages/s: p50 {1e3 * statistics.median(lags):.2f} ms, "
        f"p99 {1e3 * p99:.2f} ms, {len(lags)} answers"
    )


RUNTIME = """
import sys, edge_lstm_runtime as rt, re
s = rt.load(sys.argv[1]).session("native"); s.step([0.0] * 6)
print(re.search("VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


def memory_and_start(bundle: Path, port: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUNTIME, str(bundle)],
        stdout=subprocess.PIPE,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path[:4])},
    )
    runtime = int(done.stdout) * 1024 / 1e6
    for label, number in (("HTTP alone", 0), ("HTTP and MQTT", port)):
        starts = []
        for _ in range(5):
            service = Service(bundle, number)
            body = json.dumps([0.0] * CHANNELS).encode()
            start = time.monotonic()
            urllib.request.urlopen(f"http://127.0.0.1:{service.http}/predict", body).read()
            starts.append(service.begin + time.monotonic() - start)
            memory = service.memory
            service.end()
        print(
            f"{label}: {memory:.1f} MB, the runtime alone {runtime:.1f} MB; start to first answer "
            f"{statistics.median(starts):.2f} s (median of 5)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--publish", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.publish:
        port, form, count, seconds, rate = arguments.publish
        publish(int(port), form, int(count), float(seconds), float(rate))
        return
    from helpers.bundles import make_bundle
    from helpers.specs import make_spec

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        bundle = arguments.bundle or folder / "six.edge"
        if arguments.bundle is None:
            make_bundle(bundle, make_spec(channels=CHANNELS, hidden=16, layers=2))
        port = free_port()
        process = broker(folder, port)
        try:
            throughput(bundle, port, arguments.seconds)
            together(bundle)
            lag(bundle, port, arguments.seconds)
            memory_and_start(bundle, port)
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
