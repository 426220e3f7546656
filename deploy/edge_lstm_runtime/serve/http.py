"""Samples over HTTP, the state of the service for monitors, and the live page.

A server for a board in its own network: it knows no users. It takes a bounded number of
connections, each with a bounded time and size for its request. If all places are taken, the
connection goes that has been idle or slow for the longest time.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..errors import ConfigError
from ..inputs import Inputs
from ..inputs.channels import Channels
from ..version import __version__
from .core import Core, Message
from .live import TICK

BODY = 1 << 20  # bytes of a request
HEAD = 1 << 15  # bytes of all its headers; the library alone would take 6.5 MB
CONNECTIONS = 64
PLACE_SECONDS = 0.5  # until a connection that was ended has left its place
SECONDS = 5.0  # that a request may take to arrive, and a reader to take a piece of its answer
ANSWER_SECONDS = 10.0  # that an answer may take
BEAT = 10.0  # seconds between two signs of life on a live page's connection
PAGE = Path(__file__).with_name("page.html")
FORMS = {"application/octet-stream": "float32", "application/json": "json"}


class Server(http.server.ThreadingHTTPServer):
    """checks: name -> whether that part of the service is ready."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: str, core: Core, checks: Mapping[str, Callable[[], bool]]):
        """address: HOST:PORT or :PORT. Raises ConfigError."""
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65535:
            raise ConfigError(f"--http is {address!r}; expected HOST:PORT or :PORT, such as :8080")
        host = host.removeprefix("[").removesuffix("]")
        self.core = core
        self.checks = checks
        self._places = threading.BoundedSemaphore(CONNECTIONS)
        self._lock = threading.Lock()
        self._deadlines: dict[socket.socket, float] = {}
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, int(port)), Handler)
        except OSError as e:
            raise ConfigError(f"--http {address}: {e.strerror or e}; choose another port") from e

    def server_bind(self) -> None:
        # That of http.server looks the host's name up, which takes long without a network.
        http.server.HTTPServer.__mro__[1].server_bind(self)  # type: ignore[attr-defined]
        self.server_name = str(self.server_address[0])
        self.server_port = int(self.server_address[1])

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, args=(0.2,), name="http", daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread, if there is a place for one more connection."""
        if self._places.acquire(blocking=False) or (
            self._end_oldest() and self._places.acquire(timeout=PLACE_SECONDS)
        ):
            super().process_request(request, client_address)
            return
        request.settimeout(0)
        with contextlib.suppress(OSError):
            request.send(b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.expect(request, None)
            self._places.release()

    def expect(self, request: socket.socket, seconds: float | None) -> None:
        """The client must have done its part within seconds from now. None: nothing is awaited."""
        with self._lock:
            if seconds is None:
                self._deadlines.pop(request, None)
            else:
                self._deadlines[request] = time.monotonic() + seconds

    def service_actions(self) -> None:
        """End the connections whose request takes too long, however slowly it comes."""
        now = time.monotonic()
        with self._lock:
            self._end([request for request, end in self._deadlines.items() if end < now])

    def _end_oldest(self) -> bool:
        """Of the connections that wait for their client. Whether there was one."""
        with self._lock:
            oldest = sorted(self._deadlines, key=self._deadlines.__getitem__)[:1]
            self._end(oldest)
        return bool(oldest)

    def _end(self, requests: list[socket.socket]) -> None:
        """With the lock held. Their threads see the end of the input, and leave their places."""
        for request in requests:
            del self._deadlines[request]
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of ours, and a log of each would fill a disk."""


class _Head:
    """The headers of a request, as a file that ends them at HEAD bytes."""

    def __init__(self, file: BufferedIOBase):
        self._file = file
        self._left = HEAD

    def readline(self, size: int) -> bytes:
        """Raises LineTooLong, which is answered with 431."""
        line = self._file.readline(size)
        self._left -= len(line)
        if self._left < 0:
            raise http.client.LineTooLong("the headers together")
        return line


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = f"edge-lstm/{__version__}"
    sys_version = ""
    timeout = SECONDS
    server: Server

    def log_message(self, *_: object) -> None:
        """Nothing: /metrics has the counts."""

    def handle_one_request(self) -> None:
        self.server.expect(self.connection, SECONDS)
        super().handle_one_request()

    def parse_request(self) -> bool:
        file = self.rfile
        self.rfile = _Head(file)  # type: ignore[assignment]
        try:
            return super().parse_request()
        finally:
            self.rfile = file

    def do_GET(self) -> None:
        self.server.expect(self.connection, None)
        path = urlsplit(self.path).path
        if path == "/":
            self._send(200, PAGE.read_bytes(), "text/html; charset=utf-8")
        elif path == "/healthz":
            self._say(200 if self.server.core.ready else 503, {"ok": self.server.core.ready})
        elif path == "/readyz":
            found = {name: check() for name, check in self.server.checks.items()}
            self._say(200 if all(found.values()) else 503, found)
        elif path == "/metrics":
            text = self.server.core.metrics()
            self._send(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")
        elif path == "/models":
            self._say(200, self._models())
        elif path == "/events" and self.command == "GET":
            self._events()
        else:
            self._refuse(404, f"there is nothing at {path[:100]!r}; expected /predict or /metrics")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = self._body()
        self.server.expect(self.connection, None)
        if body is None:
            return
        url = urlsplit(self.path)
        if url.path != "/predict":
            self._refuse(404, f"there is nothing at {url.path[:100]!r}; expected /predict")
            return
        query = parse_qs(url.query)
        models = self.server.core.models
        model = query.get("model", [next(iter(models))])[0]
        if model not in models or (len(models) > 1 and "model" not in query):
            self._refuse(404, f"model is {model!r}; expected one of {', '.join(models)}")
            return
        stream = query.get("stream", ["http"])[0]
        if not stream.isprintable() or len(stream) > 256:
            self._refuse(400, "stream is not printable or has more than 256 characters")
            return
        self._predict(model, stream, body)

    def _predict(self, model: str, stream: str, body: bytes) -> None:
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        form = FORMS.get(kind, "json")
        answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        if not self.server.core.put(Message(model, stream, body, form, answers.put), 1.0):
            self._refuse(503, "too many messages wait; try again")
            return
        try:
            answer = answers.get(timeout=ANSWER_SECONDS)
        except queue.Empty:
            self._refuse(504, f"no answer within {ANSWER_SECONDS:.0f} s")
            return
        if answer.startswith(b"{"):
            self._send(400 if "error" in json.loads(answer) else 200, answer, "application/json")
        else:
            self._send(200, answer, "application/octet-stream")

    def _body(self) -> bytes | None:
        """The request's body. None if it was refused."""
        self.close_connection = True  # until the body has been read
        origin = self.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != self.headers.get("Host"):
            self._refuse(403, "the request is of another site's page")
            return None
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            self._refuse(411, "expected a Content-Length")
            return None
        if len(length) > 10 or int(length) > BODY:
            self._refuse(413, f"the body has {length[:20]} bytes; expected at most {BODY}")
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return None
        self.close_connection = self.headers.get("Connection", "").lower() == "close"
        return body

    def _models(self) -> dict[str, Any]:
        found = {}
        for name, model in self.server.core.models.items():
            spec = model.served.model.spec
            found[name] = {
                "channels": spec.inputs.names,
                "scales": _scales(spec.inputs),
                "answers": spec.answer.names,
                "summary": spec.summary,
                "backend": model.served.backend,
                "threshold": spec.detector.threshold if spec.detector else None,
            }
        return found

    def _events(self) -> None:
        """Points for the live page until it goes (server-sent events)."""
        live = self.server.core.live
        viewer = live.enter()
        if viewer is None:
            self._refuse(503, "too many pages are open")
            return
        self.close_connection = True
        try:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Connection", "close")
            self.end_headers()
            beat = 0.0
            while self.server.core.ready:
                points = live.take(viewer)
                now = time.monotonic()
                if points or now - beat > BEAT:
                    self.wfile.write(f"data: {json.dumps(points)}\n\n".encode())
                    beat = now
                time.sleep(TICK)
        finally:
            live.leave(viewer)

    def _say(self, code: int, values: Mapping[str, Any]) -> None:
        self._send(code, json.dumps(values).encode(), "application/json")

    def _refuse(self, code: int, text: str) -> None:
        self._say(code, {"error": text})

    def _send(self, code: int, body: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.server.expect(self.connection, SECONDS)  # for a client that reads slowly
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _scales(inputs: Inputs) -> list[tuple[float, float, float] | None] | None:
    """Of each channel mean, deviation and the unit of its logarithm, or 0. None for a time."""
    if not isinstance(inputs, Channels):
        return None
    return [
        None
        if name in (inputs.clock, inputs.elapsed)
        else (mean, std, inputs.log_units.get(name, 0.0))
        for name, mean, std in zip(inputs.names, inputs.mean, inputs.std, strict=True)
    ]
