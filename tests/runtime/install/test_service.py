"""With `edge-lstm serve` on FOLDER/current: what it serves after each installation."""

from __future__ import annotations

import signal
import time

import pytest

from edge_lstm_runtime.install import service as module
from edge_lstm_runtime.install.service import Service, ServiceError
from helpers.installed import (
    current,
    digest,
    install,
    leftovers,
    outcome,
    reached,
    start,
    status,
    tree,
)
from helpers.served import free_port, service, until
from helpers.specs import make_spec

X = [20.0, 0.5]


def options(running, watch: float = 1.0) -> list[str]:
    return [
        "--reload", f"kill -HUP {running.process.pid}",
        "--health", f"http://127.0.0.1:{running.port}", "--watch", str(watch),
    ]  # fmt: skip


def test_the_service_follows_the_link(make, to) -> None:
    """The same net in another version keeps its streams' states. Another net starts from zero."""
    one, same, other = make(1), make(2, seed=1), make(3)
    install(one, to)
    with service(to / "current") as running:
        first, second, third = (running.predict(X) for _ in range(3))
        assert first != second != third
    with service(to / "current") as running:
        assert running.predict(X) == first
        found = install(same, to, *options(running))
        assert found["result"] == "installed"
        assert found["steps"][3:] == ["swap", "reload", "watch"]
        assert running.predict(X) == second
        told = status(to, "--health", f"http://127.0.0.1:{running.port}/")
        assert (told["ready"], told["serving"], told["code"]) == (True, digest(same), 0)
        assert install(other, to, *options(running))["result"] == "installed"
        assert running.metric(
            f'edge_lstm_model_info{{model="room",backend="{found["backend"]}",artifact="",'
            f'sha256="{digest(other)}"}}'
        )
        back = install("", to, "--back", *options(running))
        assert (back["result"], back["version"]) == ("installed", 2)
        assert running.predict(X) == first


def test_a_bundle_that_the_service_does_not_take(make, to) -> None:
    """It is right, and its channels are others: the service keeps the old one, and stays ready."""
    one = make(1)
    install(one, to)
    bad = make(2, spec=make_spec(channels=("temp", "load", "more"), hidden=8))
    with service(to / "current") as running:
        before = tree(to)
        # So long that a busy machine's service has looked at the bundle before it is taken back.
        found = install(bad, to, *options(running, 3))
        assert (found["result"], found["step"]) == ("rolled-back", "watch")
        assert f"serves {digest(one)[:12]}, and not {digest(bad)[:12]}, after 3 s" in found["why"]
        assert "not healthy either" not in found["why"]
        assert found["steps"][-2:] == ["watch", "back"]
        assert current(to) == digest(one)
        assert leftovers(to) == []
        assert set(tree(to)) == set(before)
        told = status(to, "--health", f"http://127.0.0.1:{running.port}")
        assert (told["state"], told["serving"], told["code"]) == ("done", digest(one), 0)
        assert told["why"] == found["why"]
        assert "the old bundle goes on" in running.said


def test_no_service_at_all(make, to) -> None:
    one = make(1)
    health = ["--health", f"http://127.0.0.1:{free_port()}", "--watch", "0.2"]
    found = install(one, to, *health)
    assert (found["result"], found["was"]) == ("rolled-back", None)
    assert "Connection refused" in found["why"]
    assert current(to) is None  # there was none before
    assert list((to / "releases").iterdir() if (to / "releases").exists() else ()) == []
    assert status(to)["state"] == "none"
    install(one, to)
    found = install(make(2), to, *health)
    assert found["result"] == "rolled-back"
    assert "; the release before is not healthy either: " in found["why"]
    assert current(to) == digest(one)
    assert status(to, *health[:2])["ready"] is False


def test_a_reload_that_fails_or_hangs(make, to, monkeypatch) -> None:
    install(make(1), to)
    found = install(make(2), to, "--reload", "sh -c 'echo no such unit; exit 3'")
    assert (found["result"], found["step"]) == ("rolled-back", "reload")
    assert "exit code 3: no such unit" in found["why"]
    monkeypatch.setattr(module, "RELOAD_SECONDS", 0.3)
    with pytest.raises(ServiceError, match="`sleep 60`: it was not done after 0 s"):
        Service(("sleep", "60")).load_again()
    begun = time.monotonic()
    Service(("sh", "-c", "sleep 5 & exit 0")).load_again()  # a daemon that keeps its output open
    assert time.monotonic() - begun < 3


@pytest.mark.slow
def test_the_remembered_version_goes_back_too(make, to, tmp_path) -> None:
    """A service that remembers would refuse the release before."""
    versions = tmp_path / "versions"
    install(make(1), to, "--remember", versions)
    kept = (versions / "room.json").read_bytes()
    with service(to / "current", "--remember", versions) as running:
        running.predict(X)
        code = f"kill -HUP {running.process.pid}; sleep 1; kill {running.process.pid}"
        found = install(
            make(2), to, "--remember", versions, "--reload", f"sh -c '{code}'",
            *options(running)[2:],
        )  # fmt: skip
        assert found["result"] == "rolled-back"
    assert (versions / "room.json").read_bytes() == kept


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_in_the_watch(number: int, make, to) -> None:
    one = make(1)
    install(one, to)
    with service(to / "current") as running:
        process = start(make(2), to, *options(running, 30))
        reached(process, "watch")
        until(lambda: len(running.said.splitlines()) > 2)
        process.send_signal(number)
        out, error = process.communicate(timeout=30)
        found = outcome(out, error, process.returncode)
        assert (found["result"], found["why"]) == ("rolled-back", "stopped by a signal")
        assert current(to) == digest(one)
        assert status(to, *options(running)[2:4])["serving"] == digest(one)


@pytest.mark.slow
def test_a_hang_up_and_a_lost_output_do_not_stop_it(make, to) -> None:
    install(make(1), to)
    two = make(2)
    with service(to / "current") as running:
        process = start(two, to, *options(running, 2))
        reached(process, "watch")
        process.stdout.close()
        process.send_signal(signal.SIGHUP)
        assert process.wait(30) == 0
        process.stderr.close()
        assert status(to, *options(running)[2:4])["serving"] == digest(two)


@pytest.mark.slow
@pytest.mark.parametrize("healthy", [True, False])
def test_killed_in_the_watch_and_called_again(healthy: bool, make, to) -> None:
    one, two = make(1), make(2)
    install(one, to)
    with service(to / "current") as running:
        process = start(two, to, *options(running, 30))
        reached(process, "watch")
        process.kill()
        process.communicate()
        told = status(to)
        assert (told["state"], told["code"]) == ("watching", 1)
        assert told["why"].startswith("the last installation goes on, or was cut off")
        assert current(to) == digest(two)
        given = options(running)
        if not healthy:
            given[3] = f"http://127.0.0.1:{free_port()}"
        found = install(two, to, *given)
        assert found["steps"][3:6] == ["swap", "reload", "watch"]
        assert found["result"] == ("installed" if healthy else "rolled-back")
        assert current(to) == digest(two if healthy else one)
        assert status(to)["state"] == "done"


def test_killed_in_the_watch_and_then_another_one(make, to) -> None:
    """The one that never proved itself is not gone back to."""
    one, three = make(1), make(3)
    install(one, to)
    dead = ["--health", f"http://127.0.0.1:{free_port()}"]
    process = start(make(2), to, *dead, "--watch", "30")
    reached(process, "watch")
    process.kill()
    process.communicate()
    assert install(three, to, *dead, "--watch", "0.2")["result"] == "rolled-back"
    assert current(to) == digest(one)


def test_a_service_that_sends_its_answer_forever() -> None:
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            try:
                while True:
                    connection.sendall(b"x")
                    time.sleep(0.1)
            except OSError:
                connection.close()

        threading.Thread(target=drip, daemon=True).start()
        asked = Service(health=f"http://127.0.0.1:{server.getsockname()[1]}")
        begun = time.monotonic()
        assert "timed out" in asked.fault("0" * 64)
        assert time.monotonic() - begun < 5
