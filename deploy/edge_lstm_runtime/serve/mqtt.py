"""Samples from a broker of MQTT, answers back to it. A topic is a stream.

With QoS 1 a message is acknowledged to the broker when the broker has acknowledged its answer. So a
message is answered at least once, whatever ends in between. The broker keeps the session while the
service is away: the client's name stays the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import ssl
import threading
from collections import deque
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import ConfigError, MissingDependencyError
from .core import Core, Message
from .home_assistant import announcements
from .models import say

ONLINE = b"online"
OFFLINE = b"offline"
FULL_WAIT = 30.0  # seconds that a message of QoS 1 waits for a place in the queue


@dataclasses.dataclass(frozen=True)
class Broker:
    """url: mqtt://[USER@]HOST[:PORT] or mqtts:// for TLS. topics: pairs (model, filter).

    answers: the topic of the answers, in which {topic} stands for that of the samples.
    name: of the client. form: of the payloads. password: a file. ca, certificate, key: files for
    TLS. discovery: the prefix of Home Assistant's discovery, "" for none.
    """

    url: str
    topics: tuple[tuple[str, str], ...]
    answers: str = "{topic}/answer"
    name: str = "edge-lstm"
    qos: int = 1
    form: str = "json"
    password: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    discovery: str = ""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or port == 0 or parts.path:
            raise ConfigError(f"--mqtt is {self.url!r}; expected mqtt://HOST:PORT or mqtts://HOST")
        if parts.password is not None:
            raise ConfigError(
                "--mqtt has a password, which other users of the machine could see; put it into a "
                "file and name that with --password-file"
            )
        if not self.topics:
            raise ConfigError("--mqtt needs --topic; expected one such as 'sensors/+/raw'")
        for _, topic in self.topics:
            _check_filter(topic)
        if "{topic}" not in self.answers or any(sign in self.answers for sign in "+#"):
            raise ConfigError(
                f"--answers is {self.answers!r}; expected a topic with {{topic}} in it, such as "
                "{topic}/answer"
            )
        for _, topic in self.topics:
            example = topic.replace("+", "x").replace("#", "x")
            own = self.answers.replace("{topic}", example)
            for _, other in self.topics:
                if matches(other, own):
                    raise ConfigError(
                        f"--topic {other!r} takes in the answers too ({own}), which would be "
                        "answered again; narrow it, or set --answers, such as answers/{topic}"
                    )

    @property
    def host(self) -> str:
        return str(urlsplit(self.url).hostname)

    @property
    def secure(self) -> bool:
        return self.url.startswith("mqtts:")

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or (8883 if self.secure else 1883)

    @property
    def status(self) -> str:
        """The topic that says whether the service is there."""
        return f"{self.name}/status"


def _check_filter(topic: str) -> None:
    """Raises ConfigError."""
    levels = topic.split("/")
    wrong = any(
        (len(level) > 1 and ("+" in level or "#" in level))
        or (level == "#" and k < len(levels) - 1)
        for k, level in enumerate(levels)
    )
    if not topic or wrong or len(topic.encode()) > 1024 or "\0" in topic:
        raise ConfigError(
            f"--topic is {topic!r}; expected levels between slashes, in which + stands for one "
            "level and # at the end for all that follow"
        )


def matches(pattern: str, topic: str) -> bool:
    """Whether a filter takes in a topic (MQTT 3.1.1, section 4.7)."""
    want = pattern.split("/")
    have = topic.split("/")
    if topic.startswith("$") and want[0] in ("+", "#"):
        return False
    for k, level in enumerate(want):
        if level == "#":
            return True
        if k >= len(have) or level not in ("+", have[k]):
            return False
    return len(want) == len(have)


@dataclasses.dataclass
class _Taken:
    """A message of QoS 1 that is not acknowledged yet. number: the broker's."""

    number: int
    topic: str
    data: bytes
    answered: bool = False


class Mqtt:
    """The connection to a broker. connected: whether it stands and the topics are subscribed."""

    def __init__(self, core: Core, broker: Broker):
        """Raises MissingDependencyError, and ConfigError for files that can't be used."""
        try:
            from paho.mqtt import client as paho
            from paho.mqtt import enums
        except ModuleNotFoundError as e:
            raise MissingDependencyError("paho-mqtt", "mqtt") from e
        self.connected = False
        self._complained = False  # since the last connection
        self._core = core
        self._broker = broker
        self._announced: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._waiting: dict[int, _Taken] = {}  # by the number of the answer
        self._early: set[int] = set()  # answers that were acknowledged before they were noted
        self._taken: deque[_Taken] = deque()  # of this connection, in their order
        self._old: dict[int, _Taken] = {}  # of earlier ones, which the broker will send again
        client: Any = paho.Client(
            enums.CallbackAPIVersion.VERSION2,
            client_id=broker.name,
            clean_session=broker.qos == 0,
            manual_ack=True,
        )
        self._client = client
        client.reconnect_delay_set(1, 60)
        client.max_queued_messages_set(core.limit)
        client.max_inflight_messages_set(1000)
        client.will_set(broker.status, OFFLINE, qos=1, retain=True)
        self._credentials()
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        core.outstanding.append(lambda: len(self._waiting))

    def _credentials(self) -> None:
        """Raises ConfigError."""
        broker = self._broker
        user = urlsplit(broker.url).username
        password = None
        if broker.password is not None:
            try:
                password = broker.password.read_text("utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as e:
                raise ConfigError(f"--password-file: can't read {broker.password}: {e}") from e
        if user is not None:
            self._client.username_pw_set(user, password)
        elif password is not None:
            raise ConfigError("--password-file needs a user: --mqtt mqtt://USER@HOST")
        if broker.secure:
            try:
                context = ssl.create_default_context(cafile=broker.ca)
                if broker.certificate is not None:
                    context.load_cert_chain(broker.certificate, broker.key)
            except (OSError, ValueError) as e:
                raise ConfigError(f"--ca, --cert or --key can't be used: {e}") from e
            self._client.tls_set_context(context)
        elif broker.ca or broker.certificate or broker.key:
            raise ConfigError("--ca, --cert and --key are for TLS; expected --mqtt mqtts://HOST")

    def start(self) -> None:
        """Connect, and connect again whenever the connection breaks, after 1 to 60 seconds."""
        self._client.connect_async(self._broker.host, self._broker.port, keepalive=30)
        self._client.loop_start()

    def stop_taking(self) -> None:
        """No message is taken any more. Those that wait are still answered."""
        self._client.on_message = None
        self.connected = False

    def stop(self) -> None:
        told = self._client.publish(self._broker.status, OFFLINE, qos=1, retain=True)
        with contextlib.suppress(
            RuntimeError, ValueError
        ):  # not connected, or paho's queue is full
            told.wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Any, _: object, flags: Any, reason: Any, __: object) -> None:
        if reason.is_failure:
            say(f"the broker {self._broker.host} refuses: {reason}")
            return
        self._complained = False
        with self._lock:
            self._old |= {taken.number: taken for taken in self._taken}
            self._taken.clear()
            if not flags.session_present:  # the broker has forgotten them
                self._old.clear()
        client.subscribe([(topic, self._broker.qos) for _, topic in self._broker.topics])
        client.publish(self._broker.status, ONLINE, qos=1, retain=True)
        self._announced.clear()

    def _on_connect_fail(self, *_: object) -> None:
        if not self._complained:
            self._complained = True
            say(f"can't reach the broker {self._broker.host}:{self._broker.port}; trying again")

    def _on_subscribe(self, _: object, __: object, ___: int, reasons: Any, ____: object) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            say(f"the broker {self._broker.host} refuses a topic: {refused[0]}")
        self.connected = not refused

    def _on_disconnect(self, _: object, __: object, ___: object, reason: Any, ____: object) -> None:
        self.connected = False
        if reason.is_failure:
            say(f"the broker {self._broker.host} is away ({reason}); trying again")

    def _on_message(self, client: Any, _: object, message: Any) -> None:
        topic = message.topic
        number = message.mid
        data = bytes(message.payload)
        sure = message.qos > 0
        if message.retain:  # a sample of long ago
            if sure:
                client.ack(number, message.qos)
            return
        taken = None
        if sure:
            with self._lock:
                old = self._old.pop(number, None)
                if message.dup and old and (old.topic, old.data) == (topic, data):
                    self._taken.append(old)  # it is in the queue, or its answer is on the way
                    self._acknowledge()
                    return
                taken = _Taken(number, topic, data)
                self._taken.append(taken)
        model = next(m for m, pattern in self._broker.topics if matches(pattern, topic))
        form = self._broker.form
        self._core.put(
            Message(
                model, topic, data, form, lambda answer: self._reply(model, topic, taken, answer)
            ),
            FULL_WAIT if sure else 0.0,
        )

    def _reply(self, model: str, topic: str, taken: _Taken | None, answer: bytes) -> None:
        """By the worker. taken: None for a message of QoS 0."""
        if self._broker.discovery and (model, topic) not in self._announced:
            self._announce(model, topic)
        where = self._broker.answers.replace("{topic}", topic)
        told = self._client.publish(where, answer, qos=int(taken is not None))
        if taken is None:
            return
        with self._lock:
            if told.mid not in self._early:
                self._waiting[told.mid] = taken
                return
            self._early.discard(told.mid)
            taken.answered = True
            self._acknowledge()

    def _on_publish(self, _: object, __: object, mid: int, ___: object, ____: object) -> None:
        with self._lock:
            taken = self._waiting.get(mid)
            if taken is None:
                if len(self._early) < 1000:
                    self._early.add(mid)
                return
            taken.answered = True
            self._acknowledge()
            del self._waiting[mid]

    def _acknowledge(self) -> None:
        """In the order in which the messages came (MQTT 3.1.1, section 4.6), with the lock held.

        A broker that gets another order may send later messages before earlier ones.
        """
        while self._taken and self._taken[0].answered:
            self._client.ack(self._taken.popleft().number, 1)

    def _announce(self, model: str, topic: str) -> None:
        self._announced.add((model, topic))
        broker = self._broker
        answer = self._core.models[model].served.model.spec.answer
        place = broker.answers.replace("{topic}", topic), broker.status
        for where, facts in announcements(broker.discovery, broker.name, answer, place):
            self._client.publish(where, json.dumps(facts), qos=1, retain=True)
