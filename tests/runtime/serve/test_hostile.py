"""Clients of HTTP that mean no good: idle ones, slow ones, and garbage. The streams go on unharmed.

EDGE_LSTM_ALL_FAULTS=1 sends garbage for ten minutes.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.on_request import ON_REQUEST
from helpers.served import expected, same, service, until

PLACES = 64  # for connections, says docs/serve.md
PAGES = 8  # that may be open


@pytest.fixture(scope="module")
def running(served_file):
    with service(served_file, "--backend", "native") as s:
        yield s


@pytest.fixture
def many_files():
    """So many sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip(f"this process may open {hard} files; expected 2048")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def opened(port: int, data: bytes = b"") -> socket.socket:
    s = socket.create_connection(("127.0.0.1", port), timeout=10)
    with contextlib.suppress(OSError):  # it may be closed already
        s.sendall(data)
    return s


def threads(running) -> int:
    return len(list(Path(f"/proc/{running.process.pid}/task").iterdir()))


SLOW = (
    b"",  # nothing at all
    b"POST /predict?stream=x HTTP/1.1\r\nContent-Le",  # half of the headers
    b"POST /predict?stream=x HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n[",  # of the body
    b"GET /metrics HTTP/1.1\r\n\r\n",  # a whole request, and then nothing
)


@pytest.mark.usefixtures("many_files")
def test_a_thousand_connections_stop_nobody(running, served_file, xs):
    """All of them stay open, and others are answered at once. A place is given to who comes."""
    right = expected(served_file, xs[:20])
    before = running.memory
    crowd = []
    try:
        for k in range(20):
            crowd += [opened(running.port, SLOW[n % len(SLOW)]) for n in range(50)]
            start = time.monotonic()
            code, told = running.predict(xs[k].tolist(), "amid")
            assert code == 200
            same(told, right[k])
            assert time.monotonic() - start < 2
        assert len(crowd) == 1000
        assert threads(running) <= PLACES + 6
        assert running.memory < before + 30_000, "kB resident"
    finally:
        for s in crowd:
            s.close()
    until(lambda: threads(running) < 10)


def test_pages_that_are_open_have_their_own_limit(running, xs):
    crowd = [opened(running.port, b"GET /events HTTP/1.1\r\n\r\n") for _ in range(100)]
    try:
        codes = [s.recv(12)[9:] for s in crowd]
        assert (codes.count(b"200"), codes.count(b"503")) == (PAGES, 100 - PAGES)
        assert running.predict(xs[0].tolist(), "page")[0] == 200
    finally:
        for s in crowd:
            s.close()
    until(lambda: running.predict(xs[0].tolist(), "page") and threads(running) < 10)


@pytest.mark.slow
def test_a_slow_client_is_cut_off(running):
    """One byte every half second would hold a connection for good."""
    with opened(running.port, b"POST /predict HTTP/1.1\r\nContent-Length: 100000\r\n\r\n") as s:
        start = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - start < 15:
                s.sendall(b"1")
                time.sleep(0.5)
        assert 4 < time.monotonic() - start < 9


def test_headers_have_a_limit_together(running):
    """The standard library alone takes 100 headers of 64 kB each."""
    line = b"X-Header: " + b"x" * 5000 + b"\r\n"
    for count, code in ((5, b"200"), (7, b"431")):
        with opened(running.port, b"GET /healthz HTTP/1.1\r\n" + count * line + b"\r\n") as s:
            assert s.recv(12)[9:] == code


def test_bad_messages_use_up_no_streams(running, served_file, xs):
    for k in range(300):
        assert running.predict("rubbish", f"made-up-{k}")[0] == 400
    assert running.predict(xs[0].tolist(), "honest")[0] == 200
    running.predict([1], "late")
    running.predict([xs[0].tolist(), [None, 1]], "late")
    same(running.predict(xs[1].tolist(), "late")[1], expected(served_file, xs[:2])[1])


class Garbage:
    """Requests that are wrong in one way or several, from a seed."""

    def __init__(self, seed: int):
        self.random = np.random.default_rng(seed)

    def pick(self, *choices):
        return choices[int(self.random.integers(len(choices)))]

    def noise(self, most: int) -> bytes:
        return self.random.bytes(int(self.random.integers(most)))

    def number(self) -> str:
        return self.pick(
            "20", "0.5", "-1e308", "1e999", "NaN", "-Infinity", "null", "true", '"7"', "1" * 5000,
            "-0", "[]", "{}", "1e-320", '"\\ud800"',
        )  # fmt: skip

    def body(self) -> bytes:
        a, b = (self.number() for _ in range(2))
        return self.pick(
            lambda: f"[{a}, {b}]".encode(),
            lambda: f'{{"temp": {a}, "load": {b}, "id": {self.number()}}}'.encode(),
            lambda: f'{{"id": {a}, "ts": {b}, "samples": [[20, {a}], {b}, [20, 0.5]]}}'.encode(),
            lambda: f'{{"reset": {a}}}'.encode(),
            lambda: b"[" * int(self.random.integers(1, 100_000)),
            lambda: b"[" + b"[20,0.5]," * int(self.random.integers(5000)) + b"[20,0.5]]",
            lambda: self.noise(3000),
            lambda: b"",
        )()

    def request(self) -> bytes:
        """On a stream of its own, never that of the honest client."""
        body = self.body()
        length = self.pick(len(body), len(body), len(body), 0, len(body) + 9, -1, "x", 10**12)
        path = self.pick(
            b"/predict?stream=fuzz", b"/predict?stream=fuzz", b"/predict?stream=%ff%00", b"/events",
            b"/predict?model=" + self.noise(30), b"/metrics", b"/", b"//x:y@z/%2e", self.noise(90),
        )  # fmt: skip
        lines = [
            self.pick(b"POST", b"POST", b"POST", b"GET", b"HEAD", self.noise(9)) + b" " + path
            + self.pick(b" HTTP/1.1", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/9.9", b"", b" x"),
            f"Content-Length: {length}".encode(),
        ]  # fmt: skip
        for _ in range(int(self.random.integers(4))):
            lines.append(self.pick(
                b"Content-Type: application/octet-stream", b"Content-Length: 7", b" folded", b": ",
                b"Transfer-Encoding: chunked", b"Connection: keep-alive", b"Origin: http://evil",
                b"X: " + b"y" * int(self.random.integers(70_000)), b"Expect: 100-continue",
                self.noise(200),
            ))  # fmt: skip
        whole = b"\r\n".join(lines) + b"\r\n\r\n" + body
        if self.random.random() < 0.1:
            at = int(self.random.integers(len(whole)))
            whole = whole[:at] + self.noise(5) + whole[at + 1 :]
        return whole


def attack(running, right, xs, seconds: float) -> str:
    """Garbage, of which some is left open or unread, and an honest client between."""
    garbage = Garbage(3)
    left: list[socket.socket] = []
    requests = honest = 0
    before = most = running.memory
    slowest = 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(25):
            s = opened(running.port)
            s.settimeout(0.2)
            with contextlib.suppress(OSError):
                for _ in range(garbage.pick(1, 1, 1, 4)):  # some are sent together
                    s.sendall(garbage.request())
                    requests += 1
                if garbage.random.random() < 0.3:
                    s.recv(100)
            if garbage.random.random() < 0.3:
                left.append(s)
            else:
                s.close()
        for s in left[:-100]:
            s.close()
        del left[:-100]
        start = time.monotonic()
        code, told = running.predict(xs[honest % len(xs)].tolist(), "unharmed")
        slowest = max(slowest, time.monotonic() - start)
        assert code == 200
        if honest < len(right):
            same(told, right[honest])
        honest += 1
        most = max(most, running.memory)
    for s in left:
        s.close()
    until(lambda: threads(running) < 10)
    assert running.process.poll() is None
    assert "Traceback" not in running.said
    assert honest > 3
    assert most < before + 60_000, "kB resident"
    return (
        f"{requests} requests, {honest} honest ones between, the slowest {slowest:.2f} s; "
        f"resident {before}, {most} at most, {running.memory} kB at the end"
    )


def test_garbage_does_no_harm(running, served_file, xs):
    right = expected(served_file, xs)
    attack(running, right, xs, 3.0)


@ON_REQUEST
@pytest.mark.slow
def test_ten_minutes_of_garbage_do_no_harm(served_file, xs):
    """Each answer of the honest client is right, and the state too, to the end."""
    rows = np.resize(xs, (40_000, 2))
    with service(served_file, "--backend", "native") as running:
        told = attack(running, expected(served_file, rows), xs, 600.0)
    sys.stdout.write(f"\n{told}\n")
