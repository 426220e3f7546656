"""The service over HTTP."""

from __future__ import annotations

import json
import shutil
import signal

import numpy as np
import pytest

import edge_lstm_runtime as rt
from helpers.bundles import make_bundle
from helpers.commands import edge_lstm, here
from helpers.keys import make_key, needs_openssh, sign
from helpers.served import expected, same, service, until
from helpers.specs import make_spec


@pytest.fixture(scope="module")
def running(served_file):
    with service(served_file, "--backend", "native") as s:
        yield s


def test_predict_carries_a_state_for_each_stream(running, served_file, xs):
    right = expected(served_file, xs[:6])
    code, one = running.predict(xs[0].tolist(), "p")
    assert code == 200
    same(one, right[0])
    code, many = running.predict({"id": 9, "samples": xs[1:6].tolist()}, "p")
    assert (code, many["id"]) == (200, 9)
    for told, answer in zip(many["answers"], right[1:], strict=True):
        same(told, answer)
    same(running.predict(xs[0].tolist(), "q")[1], right[0])
    body = xs[1:2].astype("<f4").tobytes()
    code, raw = running.ask(
        "POST", "/predict?stream=q", body, Content_Type="application/octet-stream"
    )
    assert (code, len(raw)) == (200, 16)
    assert int(np.frombuffer(raw, "<f4").argmax()) == int(right[1]["label"][-1])


def test_a_bad_sample_is_400_and_leaves_the_state(running, served_file, xs):
    right = expected(served_file, xs[:2])
    running.predict(xs[0].tolist(), "bad")
    for wrong in ([1], [None, 1], "x", {"temp": 1}, {"id": {}, "temp": 1, "load": 1}):
        code, told = running.predict(wrong, "bad")
        assert code == 400, told
        assert "error" in told
    same(running.predict(xs[1].tolist(), "bad")[1], right[1])


def test_health_and_metrics(running):
    before = running.metric('edge_lstm_samples_total{model="room"}')
    refused = running.metric('edge_lstm_refused_total{model="room",reason="sample"}')
    running.predict([[20.0, 0.5], [99.0, 0.5], [1.0]], "m")
    assert running.metric('edge_lstm_samples_total{model="room"}') == before + 2
    assert running.metric('edge_lstm_refused_total{model="room",reason="sample"}') == refused + 1
    assert running.metric('edge_lstm_out_of_range_total{model="room"}') >= 1
    assert running.metric('edge_lstm_step_seconds_count{model="room"}') == before + 2
    text = running.ask("GET", "/metrics")[1].decode()
    assert 'backend="native"' in text
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) > 10
    assert running.status("/healthz") == running.status("/readyz") == 200
    room = json.loads(running.ask("GET", "/models")[1])["room"]
    assert room["channels"] == ["temp", "load"]
    assert room["scales"] == [[20.0, 5.0, 0.0], [0.5, 0.25, 0.0]]
    assert b"<canvas" not in running.ask("GET", "/")[1]  # it is made when a stream appears
    assert running.ask("HEAD", "/")[1] == b""


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "code"),
    [
        ("GET", "/nothing", None, {}, 404),
        ("POST", "/nothing", b"[]", {}, 404),
        ("POST", "/predict?model=other", b"[]", {}, 404),
        ("POST", "/predict?stream=%00", b"[]", {}, 400),
        ("POST", "/predict", b"[20, 0.5]", {"Origin": "http://evil.example"}, 403),
        ("POST", "/predict", b"[20, 0.5]", {"Content_Length": "99999999"}, 413),
        ("POST", "/predict", b"[20, 0.5]", {"Content_Length": "-1"}, 411),
        ("POST", "/predict", b"[20, 0.5]", {"Transfer_Encoding": "chunked"}, 411),
        ("DELETE", "/predict", None, {}, 501),
    ],
)
def test_refused_requests(running, method, path, body, headers, code):
    assert running.ask(method, path, body, **headers)[0] == code


def test_the_state_survives_a_restart(served_file, xs, tmp_path):
    right = expected(served_file, xs[:20])
    options = (served_file, "--backend", "native", "--state", tmp_path / "states")
    with service(*options) as s:
        s.predict(xs[:10].tolist(), "a")
        s.predict(xs[:5].tolist(), "b")
        assert s.end() == 143
    with service(*options) as s:
        same(s.predict(xs[10].tolist(), "a")[1], right[10])
        same(s.predict(xs[5].tolist(), "b")[1], right[5])
        assert "start from zero" not in s.said
        assert s.end(signal.SIGINT) == 130
    state = tmp_path / "states" / "room.state"
    state.write_bytes(state.read_bytes()[:-5])
    with service(*options) as s:
        same(s.predict(xs[0].tolist(), "a")[1], right[0])
        assert "damaged" in s.said


def test_hang_up_takes_a_new_bundle_or_keeps_the_old_one(xs, served_file, tmp_path):
    path = tmp_path / "room.edge"
    shutil.copy(served_file, path)
    with service(path, "--backend", "native") as s:
        right = expected(path, xs[:12])
        s.predict(xs[:10].tolist(), "a")
        s.process.send_signal(signal.SIGHUP)  # the same bundle: the state goes on
        until(lambda: "loaded again" in s.said)
        assert "1 streams keep their states" in s.said
        same(s.predict(xs[10].tolist(), "a")[1], right[10])
        path.write_bytes(served_file.read_bytes()[:-3])
        s.process.send_signal(signal.SIGHUP)
        until(lambda: "the old bundle goes on" in s.said)
        make_bundle(path, make_spec(channels=("temp", "other")))
        s.process.send_signal(signal.SIGHUP)
        until(lambda: "expected ['temp', 'load'] as before" in s.said)
        same(s.predict(xs[11].tolist(), "a")[1], right[11])
        make_bundle(path, rt.load(served_file).spec, seed=5)
        s.process.send_signal(signal.SIGHUP)
        until(lambda: "0 streams keep their states" in s.said)
        same(s.predict(xs[0].tolist(), "a")[1], expected(path, xs[:1])[0])


@needs_openssh
def test_only_signed_bundles_are_served_and_taken(xs, served_file, tmp_path):
    path = tmp_path / "room.edge"
    shutil.copy(served_file, path)
    signers = tmp_path / "signers"
    signers.write_text(f"me {make_key(tmp_path / 'mine')}\n")
    options = (path, "--backend", "native", "--trusted", signers)
    done = edge_lstm("serve", *options, "--http", "127.0.0.1:0")
    assert done.returncode == 2
    assert "room.edge.sig" in done.stderr
    assert done.stderr.count("\n") == 1
    sign(path, tmp_path / "mine")
    right = expected(path, xs[:2])
    with service(*options) as s:
        same(s.predict(xs[0].tolist(), "a")[1], right[0])
        make_bundle(path, rt.load(served_file).spec, seed=5)  # the signature is the old one's
        s.process.send_signal(signal.SIGHUP)
        until(lambda: "the old bundle goes on" in s.said)
        same(s.predict(xs[1].tolist(), "a")[1], right[1])
        sign(path, tmp_path / "mine")
        s.process.send_signal(signal.SIGHUP)
        until(lambda: "loaded again" in s.said)


def test_a_folder_of_bundles(served_file, tmp_path):
    shutil.copy(served_file, tmp_path / "one.edge")
    make_bundle(tmp_path / "two.edge", make_spec(channels=3))
    with service(tmp_path, "--backend", "native") as s:
        assert s.predict([1, 2, 3], "a", model="two")[0] == 200
        assert s.predict([1, 2], "a", model="one")[0] == 200
        assert s.predict([1, 2], "a")[0] == 404


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("{b}", "give --mqtt URL, --http :8080 or both"),
        ("{b} --http 8080", "expected HOST:PORT"),
        ("{b} --http :99999", "expected HOST:PORT"),
        ("{b} --http :0 --topic a", "--topic is for --mqtt"),
        ("{b} --mqtt http://x --topic a", "expected mqtt://HOST:PORT"),
        ("{b} --mqtt mqtt://me:secret@x --topic a", "--password-file"),
        ("{b} --mqtt mqtt://x", "--mqtt needs --topic"),
        ("{b} --mqtt mqtt://x --topic a/#/b", "expected levels between slashes"),
        ("{b} --mqtt mqtt://x --topic a+", "expected levels between slashes"),
        ("{b} --mqtt mqtt://x --topic a/#", "takes in the answers too (a/x/answer)"),
        ("{b} --mqtt mqtt://x --topic a --answers b", "a topic with {topic} in it"),
        ("{b} --mqtt mqtt://x --topic other=a", "expected one of room before ="),
        ("{b} --mqtt mqtt://x --topic a --ca {b}", "are for TLS"),
        ("{b} --mqtt mqtts://x --topic a --ca {b}", "--ca, --cert or --key can't be used"),
        ("{b} --mqtt mqtt://x --topic a --password-file {b}", "--password-file"),
        ("{b} --http :0 --save-every 0", "expected seconds above 0"),
        ("{b} --http :0 --state {b}", "expected a folder"),
        ("{b}x --http :0", "No such file"),
        ("{d} --http :0", "has no bundle"),
    ],
)
def test_bad_options_are_one_line(words, message, served_file, tmp_path, capfd):
    given = [word.format(b=served_file, d=tmp_path) for word in words.split()]
    code, out, err = here(capfd, "serve", *given)
    assert (code, out) == (2, "")
    assert err.startswith("edge-lstm: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_two_services_do_not_share_their_states(served_file, tmp_path):
    options = (served_file, "--backend", "native", "--state", tmp_path)
    with service(*options):
        done = edge_lstm("serve", *options, "--http", "127.0.0.1:0")
    assert done.returncode == 2
    assert "another process holds it" in done.stderr
