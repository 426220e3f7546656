"""No good sample is lost, whatever ends in between. EDGE_LSTM_ALL_FAULTS=1 sends a million."""

from __future__ import annotations

import json
import queue
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import edge_lstm_runtime as rt
from edge_lstm_runtime import stored
from helpers.on_request import ALL
from helpers.served import NEEDS_BROKER, Client, broker, service, until

pytest.importorskip("paho.mqtt", reason="paho-mqtt is not installed")
SAMPLES = 1_000_000 if ALL else 12_000
STREAMS = 16
KILLS = 3 if ALL else 2
RESTARTS = 5 if ALL else 1
BAD = (b"rubbish", b"[1]", b"[null, 1]", b'{"temp": 3}')


class Flow:
    """Publishes sample after sample, and notes the answers by stream, in their order."""

    def __init__(self, port):
        self.client = Client(port, "s/+/raw/answer", name="tester")
        self.xs = np.random.default_rng(1).normal((20, 0.5), (4, 0.2), (SAMPLES, 2)).round(3)
        self.bad = np.random.default_rng(2).random(SAMPLES) < 0.01
        self.sent = 0
        self.answers = defaultdict(list)
        self.missing = set()
        self.errors = 0

    def send(self, count, ahead=2000):
        """With at most `ahead` good samples on the way. mosquitto 2.0.11 loses some of a backlog of
        tens of thousands, for a bare client too."""
        for k in range(self.sent, min(self.sent + count, SAMPLES)):
            data = BAD[k % len(BAD)]
            if not self.bad[k]:
                data = json.dumps({"id": k, "temp": self.xs[k, 0], "load": self.xs[k, 1]})
                self.missing.add(k)
            self.client.send(f"s/{k % STREAMS}/raw", data)
            if len(self.missing) > ahead:
                until(lambda: self.take(0.01) or len(self.missing) < ahead, 60)
        self.sent += count
        end = time.monotonic() + 60
        while self.client.client._out_messages and time.monotonic() < end:
            time.sleep(0.01)

    def take(self, quiet=0.5):
        """All answers until none comes for `quiet` seconds."""
        while True:
            try:
                topic, told = self.client.answer(quiet)
            except queue.Empty:
                return
            if "error" in told:
                self.errors += 1
            else:
                self.answers[topic.split("/")[1]].append(told["id"])
                self.missing.discard(told["id"])

    def good(self, stream):
        return [k for k in range(int(stream), SAMPLES, STREAMS) if not self.bad[k]]


def states_of(folder: Path, model):
    return stored.restore(folder / "room.state", model.bundle.fingerprint)


def assert_state(saved, session):
    for name, array in session.state.items():
        np.testing.assert_array_equal(saved[f"session.{name}"], array)


@NEEDS_BROKER
@pytest.mark.slow
def test_every_good_sample_is_answered_in_order(served_file, tmp_path):
    tmp_path.chmod(0o777)
    states = tmp_path / "states"
    begin = time.monotonic()
    model = rt.load(served_file)
    part = SAMPLES // (KILLS + RESTARTS + 2)
    with broker(tmp_path) as bus:
        options = [
            served_file, "--backend", "native", "--topic", "s/+/raw", "--state", states,
            "--mqtt", f"mqtt://127.0.0.1:{bus.port}", "--save-every", "0.3",
        ]  # fmt: skip
        flow = Flow(bus.port)
        for kill in range(KILLS):
            with service(*options) as s:
                flow.send(part)
                if kill == 0:
                    first = s.memory
                    time.sleep(0.5)
                flow.send(part // 10, SAMPLES)
                s.end(9)
            flow.take()
            if kill == 0:  # so far, each stream is a prefix of what was sent
                for name, saved in states_of(states, model).items():
                    stream = name.split("/")[1]
                    with model.session("native") as session:
                        count = int(saved["samples"][0])
                        assert flow.answers[stream][:count] == flow.good(stream)[:count]
                        assert count > 0
                        session.steps(flow.xs[flow.good(stream)[:count]])
                        assert_state(saved, session)
        before = states_of(states, model)
        answered = {name: len(ids) for name, ids in flow.answers.items()}
        with service(*options) as s:
            flow.send(part)
            flow.take()
            s.end()
        after = states_of(states, model)
        for name, saved in after.items():  # an uninterrupted run from the last save on
            stream = name.split("/")[1]
            with model.session("native") as session:
                if name in before:  # else its first sample came after the last save
                    session.state = {
                        key.removeprefix("session."): array
                        for key, array in before[name].items()
                        if key.startswith("session.")
                    }
                for k in flow.answers[stream][answered[stream] :]:
                    session.step(flow.xs[k])
                assert_state(saved, session)
        with service(*options) as s:
            for _ in range(RESTARTS):
                flow.send(part // 2)
                bus.stop()
                bus.start()
                until(
                    flow.client.client.is_connected
                )  # else paho sends new messages before old ones
                flow.send(part // 2)
            flow.send(SAMPLES - flow.sent)
            flow.take(3.0)
            last = s.memory
        flow.client.close()
    for stream in map(str, range(STREAMS)):
        firsts = list(dict.fromkeys(flow.answers[stream]))
        assert sorted(firsts) == flow.good(stream), f"stream {stream}"
        assert firsts == flow.good(stream), f"the order of stream {stream}"
    assert flow.errors >= int(flow.bad.sum())
    took = time.monotonic() - begin
    sys.stdout.write(f"\n{SAMPLES} samples in {took:.0f} s; resident {first}, {last} kB\n")
    assert last < first + 4096, "kB resident"
