"""The service at a real broker."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge_lstm_runtime as rt
from edge_lstm_runtime.serve.home_assistant import announcements
from edge_lstm_runtime.serve.mqtt import matches
from helpers.bundles import make_bundle
from helpers.served import NEEDS_BROKER, Client, broker, expected, service, until
from helpers.specs import make_spec

pytest.importorskip("paho.mqtt", reason="paho-mqtt is not installed")
TOPIC = ("--backend", "native", "--topic", "sensors/+/raw")


@pytest.fixture(scope="module")
def bus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broker")
    folder.chmod(0o777)
    with broker(folder) as b:
        yield b


@NEEDS_BROKER
def test_topics_are_streams_and_answers_have_their_ids(bus, served_file, xs):
    right = expected(served_file, xs[:30])
    url = f"mqtt://127.0.0.1:{bus.port}"
    with service(served_file, *TOPIC, "--mqtt", url, "--name", "one") as s:
        client = Client(bus.port, "sensors/+/raw/answer", "one/status")
        assert client.got.get(timeout=10) == ("one/status", b"online")
        for k in range(10):
            for name in "ab":
                client.send(f"sensors/{name}/raw", {"id": k, "temp": xs[k, 0], "load": xs[k, 1]})
        client.send("sensors/a/raw", {"ts": 7, "samples": xs[10:30].tolist()}, qos=0)
        client.send("sensors/a/raw", "rubbish")
        client.send("sensors/a", [1, 2])  # no topic of ours
        found = {"a": [], "b": []}
        for _ in range(22):
            topic, told = client.answer()
            found[topic.split("/")[1]].append(told)
        assert [told["id"] for told in found["b"]] == list(range(10))
        assert "not valid JSON" in found["a"].pop()["error"]
        many = found["a"].pop()
        assert many["ts"] == 7
        for answers in (found["a"] + many["answers"], found["b"]):
            for told, answer in zip(answers, right, strict=False):
                assert told["label"] == answer["label"]
                assert told["probabilities"] == pytest.approx(answer["probabilities"], abs=2e-5)
        assert s.end() == 143
        assert client.got.get(timeout=10) == ("one/status", b"offline")
        client.close()


@NEEDS_BROKER
def test_float32_and_the_last_will(bus, served_file, xs):
    url = f"mqtt://127.0.0.1:{bus.port}"
    more = ("--name", "two", "--payload", "float32", "--answers", "answers/{topic}")
    with service(served_file, *TOPIC, "--mqtt", url, *more) as s:
        client = Client(bus.port, "answers/#", "two/status")
        assert client.got.get(timeout=10) == ("two/status", b"online")
        client.send("sensors/a/raw", xs[:8].astype("<f4").tobytes())
        topic, payload = client.got.get(timeout=10)
        assert topic == "answers/sensors/a/raw"
        model = rt.load(served_file)
        with model.session("numpy") as session:
            right = session.run(xs[:8])
        np.testing.assert_allclose(np.frombuffer(payload, "<f4").reshape(8, 4), right, atol=1e-5)
        s.end(9)
        assert client.got.get(timeout=10) == ("two/status", b"offline")
        client.close()


@NEEDS_BROKER
def test_messages_of_a_time_without_the_service_are_answered_later(bus, served_file, xs, tmp_path):
    """The broker keeps them, and the state goes on where it was."""
    right = expected(served_file, xs[:6])
    options = ("--mqtt", f"mqtt://127.0.0.1:{bus.port}", "--name", "three", "--state", tmp_path)
    client = Client(bus.port, "sensors/c/raw/answer")
    with service(served_file, *TOPIC, *options) as s:
        client.send("sensors/c/raw", xs[:3].tolist())
        client.answer()
        s.end()
    for x in xs[3:6]:
        client.send("sensors/c/raw", x.tolist())
    with service(served_file, *TOPIC, *options):
        for answer in right[3:]:
            told = client.answer()[1]
            assert told["probabilities"] == pytest.approx(answer["probabilities"], abs=2e-5)
    client.close()


@NEEDS_BROKER
def test_home_assistant_is_told(bus, served_file):
    url = f"mqtt://127.0.0.1:{bus.port}"
    client = Client(bus.port, "homeassistant/#")
    with service(served_file, *TOPIC, "--mqtt", url, "--name", "four", "--home-assistant"):
        client.send("sensors/h/raw", [20, 0.5])
        topic, facts = client.answer()
    assert topic.startswith("homeassistant/sensor/edge_lstm_")
    assert topic.endswith("/config")
    assert facts["state_topic"] == "sensors/h/raw/answer"
    assert facts["value_template"] == "{{ value_json['label'] }}"
    assert facts["availability_topic"] == "four/status"
    client.close()


def test_home_assistant_has_a_sensor_for_each_value(tmp_path):
    make_bundle(tmp_path / "f.edge", make_spec(task="forecast", outputs=2))
    answer = rt.load(tmp_path / "f.edge").spec.answer
    found = dict(announcements("ha", "n", answer, ("a/answer", "n/status")))
    assert [facts["value_template"] for facts in found.values()] == [
        f"{{{{ value_json['forecast']['{channel}'][{k}] }}}}"
        for channel in ("ch0", "ch1")
        for k in (0, 1)
    ]


@NEEDS_BROKER
@pytest.mark.slow
def test_tls(served_file, tmp_path):
    """With a certificate made here. Without its signer the service doesn't connect."""
    tmp_path.chmod(0o755)
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout key.pem -out ca.pem",
        shell=True, cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "key.pem").chmod(0o644)
    more = f"certfile {tmp_path}/ca.pem\nkeyfile {tmp_path}/key.pem"
    with broker(tmp_path, more) as b:
        url = f"mqtts://localhost:{b.port}"
        with service(served_file, *TOPIC, "--mqtt", url, "--ca", tmp_path / "ca.pem"):
            client = Client(b.port, "sensors/+/raw/answer", secure=tmp_path / "ca.pem")
            client.send("sensors/t/raw", [20, 0.5])
            assert "label" in client.answer()[1]
            client.close()
        with service(served_file, *TOPIC, "--mqtt", url, wait="/healthz") as s:
            until(lambda: "can't reach the broker" in s.said)
            assert s.status("/readyz") == 503


LEVELS = st.sampled_from(["a", "b", "", "+", "#", "$x"])


@pytest.mark.parametrize(
    ("pattern", "topic", "fits"),
    [
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/d/c", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "$SYS/x", False),
        ("+", "", True),
        ("+/+", "/x", True),
        ("a", "a/b", False),
    ],
)
def test_filters_as_the_standard_says(pattern, topic, fits):
    assert matches(pattern, topic) is fits


@given(st.lists(LEVELS, min_size=1, max_size=4), st.lists(LEVELS, min_size=1, max_size=4))
def test_filters_agree_with_paho(pattern, topic):
    from paho.mqtt.client import topic_matches_sub

    if "#" in pattern[:-1] or {"+", "#"} & {*topic}:
        return
    want = "/".join(pattern)
    have = "/".join(topic)
    if have:
        assert matches(want, have) == topic_matches_sub(want, have)


@NEEDS_BROKER
@pytest.mark.slow
def test_a_backlog_is_answered_in_order_and_costs_no_memory(bus, served_file, tmp_path):
    """15,000 messages wait, more than any queue of the service or of paho holds.

    mosquitto 2.0.11 sends far more of them than are acknowledged.
    """
    options = ("--mqtt", f"mqtt://127.0.0.1:{bus.port}", "--name", "behind", "--state", tmp_path)
    client = Client(bus.port, "sensors/+/raw/answer")
    with service(served_file, *TOPIC, *options, "--save-every", "0.2") as s:
        s.end()
    count = 15_000
    for k in range(count):
        client.send(f"sensors/{k % 8}/raw", f'{{"id": {k}, "temp": 20, "load": 0.5}}')
    until(lambda: not client.client._out_messages)
    with service(served_file, *TOPIC, *options, "--save-every", "0.2") as s:
        begin = s.memory
        found = [client.answer()[1]["id"] for _ in range(count)]
        assert s.memory < begin + 8192, "kB resident"
        assert s.metric("edge_lstm_saved_age_seconds") < 5
    for stream in range(8):
        ids = [k for k in found if k % 8 == stream]
        assert ids == list(range(stream, count, 8))
    client.close()


@NEEDS_BROKER
def test_a_topic_whose_answer_has_no_topic_does_no_harm(bus, served_file, xs):
    """A topic has at most 65,535 bytes, and that of its answer has "/answer" behind it."""
    url = f"mqtt://127.0.0.1:{bus.port}"
    right = expected(served_file, xs[:1])
    topic = ("--backend", "native", "--topic", "long/#", "--answers", "told/{topic}")
    with service(served_file, *topic, "--mqtt", url, "--name", "long") as s:
        client = Client(bus.port, "told/long/a")
        client.send("long/" + "x" * 65_530, xs[0].tolist())
        client.send("long/a", xs[0].tolist())
        told = client.answer()[1]
        assert told["probabilities"] == pytest.approx(right[0]["probabilities"], abs=2e-5)
        assert s.status("/healthz") == 200
        client.close()
