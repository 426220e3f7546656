"""`edge-lstm serve` in a process of its own, and a broker of MQTT on loopback."""

from __future__ import annotations

import http.client
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import edge_lstm_runtime as rt
from helpers.commands import command, environment

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
NEEDS_BROKER = pytest.mark.skipif(MOSQUITTO is None, reason="no mosquitto here; install it")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def until(done: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)


def expected(path: Path, rows: Any) -> list[Any]:
    """The answers of a session that is fed by hand."""
    model = rt.load(path)
    with model.session("numpy") as s:
        return [rt.describe(model.spec, s.step(x)) for x in rows]


def same(told: Any, right: Any) -> None:
    assert told["label"] == right["label"]
    assert told["probabilities"] == pytest.approx(right["probabilities"], abs=2e-5)


class Broker:
    """A mosquitto that keeps its sessions on the disk."""

    def __init__(self, folder: Path, more: str = ""):
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"allow_anonymous true\nlistener {self.port} 127.0.0.1\n{more}\n"
            f"persistence true\npersistence_location {folder}/\nautosave_interval 1\n"
            f"max_queued_messages 0\nuser {'root' if os.getuid() == 0 else 'nobody'}\n"
        )
        self.start()

    def start(self) -> None:
        assert MOSQUITTO is not None
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._config)], stderr=subprocess.DEVNULL
        )
        until(self._reachable)

    def _reachable(self) -> bool:
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


class Client:
    """Publishes, and keeps what comes on its topics: pairs of topic and payload."""

    def __init__(self, port: int, *topics: str, name: str = "", secure: Path | None = None):
        from paho.mqtt import client as paho
        from paho.mqtt import enums

        self.got: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        paho_client: Any = paho.Client(
            enums.CallbackAPIVersion.VERSION2, client_id=name, clean_session=not name
        )
        self.client = paho_client
        self.client.on_message = lambda _, __, m: self.got.put((m.topic, bytes(m.payload)))
        self.client.max_inflight_messages_set(0)  # beyond it, paho changes the order
        self.client.reconnect_delay_set(1, 1)
        subscribed: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.client.on_subscribe = lambda *_: subscribed.put(True)

        def on_connect(client: Any, *_: object) -> None:
            client.subscribe([(topic, 1) for topic in topics] or [("nothing", 0)])

        self.client.on_connect = on_connect
        if secure is not None:
            self.client.tls_set(str(secure))
        self.client.connect("localhost" if secure else "127.0.0.1", port)
        self.client.loop_start()
        assert subscribed.get(timeout=10)

    def send(self, topic: str, payload: Any, qos: int = 1) -> None:
        data = payload if isinstance(payload, (bytes, str)) else json.dumps(payload)
        self.client.publish(topic, data, qos=qos)

    def answer(self, seconds: float = 10.0) -> tuple[str, Any]:
        topic, payload = self.got.get(timeout=seconds)
        return topic, json.loads(payload)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Service:
    """port: of HTTP. said: the lines of standard error so far."""

    def __init__(self, *arguments: str | Path, wait: str = "/readyz", **environ: str):
        self.process = subprocess.Popen(
            command("serve", *arguments, "--http", "127.0.0.1:0"),
            stderr=subprocess.PIPE,
            env={**environment(), "EDGE_LSTM_REMEMBER": "0", **environ},
        )
        assert self.process.stderr is not None
        os.set_blocking(self.process.stderr.fileno(), False)
        self._said = b""
        try:
            self._until(lambda: "http on port" in self.said)
            self.port = int(self.said.rpartition("http on port ")[2].split()[0])
            self._until(lambda: self.status(wait) == 200)
        except BaseException:
            self.kill()
            raise

    def _until(self, done: Callable[[], bool]) -> None:
        until(lambda: self.process.poll() is not None or done())
        assert self.process.poll() is None, self.said

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()

    @property
    def said(self) -> str:
        assert self.process.stderr is not None
        self._said += self.process.stderr.read() or b""
        return self._said.decode()

    def status(self, path: str) -> int:
        try:
            return self.ask("GET", path)[0]
        except OSError:
            return 0

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(
                method, path, body, {k.replace("_", "-"): v for k, v in headers.items()}
            )
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def predict(self, value: Any, stream: str = "a", **query: str) -> tuple[int, Any]:
        asked = "".join(f"&{key}={text}" for key, text in query.items())
        code, body = self.ask(
            "POST", f"/predict?stream={stream}{asked}", json.dumps(value).encode()
        )
        return code, json.loads(body)

    def metric(self, line: str) -> float:
        """The value behind the metric and its labels."""
        text = self.ask("GET", "/metrics")[1].decode()
        found = [row for row in text.splitlines() if row.startswith(f"{line} ")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    @property
    def memory(self) -> int:
        """Resident, in kB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0])

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@contextmanager
def service(*arguments: str | Path, wait: str = "/readyz", **environ: str) -> Iterator[Service]:
    """wait: for this to be 200."""
    made = Service(*arguments, wait=wait, **environ)
    try:
        yield made
    finally:
        made.kill()


@contextmanager
def broker(folder: Path, more: str = "") -> Iterator[Broker]:
    made = Broker(folder, more)
    try:
        yield made
    finally:
        made.stop()
