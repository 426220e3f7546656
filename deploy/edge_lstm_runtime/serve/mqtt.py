"""Samples from a broker of MQTT, answers back to it. A topic is a stream.

With QoS 1 a message is acknowledged to the broker when the broker has acknowledged its answer. So a
message is answered at least once, whatever ends in between. The broker keeps the session while the
service is away: the client's name stays the same.

Answers of QoS 1 have a connection of their own. A broker may send any number of messages before
they are acknowledged (mosquitto 2.0.11 does). So the service must be able to stop reading them, and
go on reading the acknowledgements of its answers.
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
WINDOW = 1000  # messages of QoS 1 that are taken and not acknowledged, and answers on the way
LONGEST = 65_535  # bytes of a topic


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
        self._room = threading.Condition(self._lock)  # of `_taken`
        self._stopping = False
        self._flowing = False  # whether the answers' connection is up, and nothing is sent again
        self._held: deque[tuple[str, bytes, _Taken]] = deque()  # answers until then

        def made(name: str, clean: bool) -> Any:
            client: Any = paho.Client(
                enums.CallbackAPIVersion.VERSION2, name, clean_session=clean, manual_ack=True
            )
            client.reconnect_delay_set(1, 60)
            client.max_queued_messages_set(0)  # it would drop answers; `_taken` is bounded
            client.max_inflight_messages_set(WINDOW)
            self._set_credentials(client)
            return client

        client = self._client = made(broker.name, broker.qos == 0)
        client.will_set(broker.status, OFFLINE, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        self._out = client
        self._clients = [client]
        if broker.qos:
            out = self._out = made(f"{broker.name}-answers", True)
            out.on_connect = lambda client, *_: client.subscribe(broker.status)
            out.on_subscribe = lambda *_: core.order(self._flow)
            out.on_disconnect = self._on_break
            out.on_publish = self._on_publish
            self._clients.append(out)
        core.outstanding.append(lambda: len(self._waiting) + len(self._held))

    def _set_credentials(self, client: Any) -> None:
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
            client.username_pw_set(user, password)
        elif password is not None:
            raise ConfigError("--password-file needs a user: --mqtt mqtt://USER@HOST")
        if broker.secure:
            try:
                context = ssl.create_default_context(cafile=broker.ca)
                if broker.certificate is not None:
                    context.load_cert_chain(broker.certificate, broker.key)
            except (OSError, ValueError) as e:
                raise ConfigError(f"--ca, --cert or --key can't be used: {e}") from e
            client.tls_set_context(context)
        elif broker.ca or broker.certificate or broker.key:
            raise ConfigError("--ca, --cert and --key are for TLS; expected --mqtt mqtts://HOST")

    def start(self) -> None:
        """Connect, and connect again whenever the connection breaks, after 1 to 60 seconds."""
        for client in self._clients:
            client.connect_async(self._broker.host, self._broker.port, keepalive=30)
            client.loop_start()

    def stop_taking(self) -> None:
        """No message is taken any more. Those that wait are still answered."""
        self._client.on_message = None
        self.connected = False
        with self._room:
            self._stopping = True
            self._room.notify_all()

    def stop(self) -> None:
        told = self._client.publish(self._broker.status, OFFLINE, qos=1, retain=True)
        with contextlib.suppress(
            RuntimeError, ValueError
        ):  # not connected, or paho's queue is full
            told.wait_for_publish(1.0)
        for client in self._clients:
            client.disconnect()
            client.loop_stop()

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
        if self._out is self._client:
            self._flowing = True

    def _flow(self) -> None:
        """By the worker, when the answers' connection stands: what is to be sent again is sent.

        paho sends a new message before those if it gets it while it connects.
        """
        while self._held:
            self._publish(*self._held.popleft())
        self._flowing = True

    def _on_break(self, *_: object) -> None:
        self._flowing = False

    def _on_disconnect(self, _: object, __: object, ___: object, reason: Any, ____: object) -> None:
        self.connected = False
        if reason.is_failure:
            say(f"the broker {self._broker.host} is away ({reason}); trying again")

    def _on_message(self, client: Any, _: object, message: Any) -> None:
        topic = message.topic
        number = message.mid
        data = bytes(message.payload)
        sure = message.qos > 0
        if message.retain or len(self._answers_of(topic).encode()) > LONGEST:
            if sure:  # a sample of long ago, or one whose answer would have no topic
                client.ack(number, message.qos)
            return
        taken = None
        if sure:
            with self._room:
                old = self._old.pop(number, None)
                if message.dup and old and (old.topic, old.data) == (topic, data):
                    self._taken.append(old)  # it is in the queue, or its answer is on the way
                    self._acknowledge()
                    return
                self._room.wait_for(lambda: len(self._taken) < WINDOW or self._stopping)
                if self._stopping:
                    return
                taken = _Taken(number, topic, data)
                self._taken.append(taken)
        model = next(m for m, pattern in self._broker.topics if matches(pattern, topic))
        form = self._broker.form
        told = Message(
            model, topic, data, form, lambda answer: self._reply(model, topic, taken, answer)
        )
        self._core.put(told, None if sure else 0.0)

    def _answers_of(self, topic: str) -> str:
        return self._broker.answers.replace("{topic}", topic)

    def _reply(self, model: str, topic: str, taken: _Taken | None, answer: bytes) -> None:
        """By the worker. taken: None for a message of QoS 0, whose answer may be lost."""
        if self._broker.discovery and (model, topic) not in self._announced:
            self._announce(model, topic)
        where = self._answers_of(topic)
        if taken is None:
            self._out.publish(where, answer)
        elif self._flowing:
            self._publish(where, answer, taken)
        else:
            self._held.append((where, answer, taken))

    def _publish(self, where: str, answer: bytes, taken: _Taken) -> None:
        told = self._out.publish(where, answer, qos=1)
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
            self._room.notify_all()

    def _announce(self, model: str, topic: str) -> None:
        self._announced.add((model, topic))
        broker = self._broker
        answer = self._core.models[model].served.model.spec.answer
        place = self._answers_of(topic), broker.status
        for where, facts in announcements(broker.discovery, broker.name, answer, place):
            self._client.publish(where, json.dumps(facts), qos=1, retain=True)
