"""Answer samples from MQTT or HTTP, with a live page and a state that survives a restart."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from ..errors import ConfigError, EdgeLstmError
from ..files import check_folder_writable, one_at_a_time
from ..serve.core import Core, Options
from ..serve.http import Server
from ..serve.models import Served, bundles, say, serve_bundle
from ..serve.mqtt import Broker, Mqtt
from ..serve.notify import notify, reloading
from ..serve.payload import FORMS
from ..serve.wake import Wake
from ._shared import add_bundle, add_save_every, load_asked, save_every

GOES_ON = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Answer samples that come by MQTT or HTTP, until SIGTERM. Each topic is a stream with a\n"
        "state of its own. BUNDLE may be a folder: then all its files NAME.edge are served.\n"
        "SIGHUP loads the bundles again, checks them, and goes on with the old ones if they are\n"
        "not right."
    )
    parser.epilog = (
        "examples:\n"
        "  edge-lstm serve har.edge --http :8080\n"
        "  edge-lstm serve har.edge --mqtt mqtt://localhost --topic 'sensors/+/raw'\n"
        "  edge-lstm serve models/ --mqtt mqtts://me@broker --password-file secret \\\n"
        "      --topic har=hands/+ --topic pump=pumps/# --state /var/lib/edge-lstm\n"
        "A message is a sample as JSON: a list, or an object with the channels' names. It may\n"
        'have "id" and "ts", which its answer repeats. A list of samples, or {"samples": [...]},\n'
        'has many in one message. {"reset": true} sets the state of a stream to zero. With\n'
        "--payload float32 a message is samples in little-endian float32, and so is its answer.\n"
        "Over HTTP: POST /predict?stream=NAME (with several bundles &model=NAME). GET / is a live\n"
        "page, /metrics is for Prometheus, /healthz and /readyz are for monitors.\n"
        "It knows no users: open its port to those alone who may use it."
    )
    add_bundle(parser)
    parser.add_argument("--http", metavar="[HOST]:PORT", help="serve HTTP there")
    parser.add_argument("--mqtt", metavar="URL", help="mqtt://[USER@]HOST[:PORT], mqtts:// for TLS")
    parser.add_argument(
        "--topic",
        action="append",
        default=[],
        metavar="[MODEL=]FILTER",
        help="samples come on topics like this, with the wildcards + and #; may be repeated",
    )
    parser.add_argument(
        "--answers",
        default="{topic}/answer",
        metavar="TOPIC",
        help="the topic of the answers (default: %(default)s)",
    )
    parser.add_argument(
        "--payload",
        choices=FORMS,
        default="json",
        help="the form of MQTT messages (default: %(default)s)",
    )
    parser.add_argument(
        "--qos",
        type=int,
        choices=(0, 1),
        default=1,
        help="0: a message may be lost; 1: it is answered at least once (default: %(default)s)",
    )
    parser.add_argument(
        "--name",
        default="edge-lstm",
        metavar="NAME",
        help="of this service at the broker; each service needs its own (default: %(default)s)",
    )
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="of the broker's user")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="TLS: who signs the broker's")
    parser.add_argument("--cert", type=Path, metavar="FILE", help="TLS: a certificate to show")
    parser.add_argument("--key", type=Path, metavar="FILE", help="TLS: its key")
    parser.add_argument(
        "--home-assistant",
        nargs="?",
        const="homeassistant",
        default="",
        metavar="PREFIX",
        help="announce each answer to Home Assistant, below this prefix (homeassistant)",
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FOLDER",
        help="keep the states there, from one start to the next",
    )
    add_save_every(parser, "the states")


def main(arguments: argparse.Namespace) -> int:
    if arguments.http is None and arguments.mqtt is None:
        raise ConfigError("nobody could send a sample; give --mqtt URL, --http :8080 or both")
    options = Options(arguments.state, save_every(arguments))
    paths = bundles(arguments.bundle)
    broker = _broker(arguments, tuple(paths))
    states = arguments.state
    if states is not None:
        if states.exists() and not states.is_dir():
            raise ConfigError(f"--state is the file {states}; expected a folder")
        check_folder_writable(states, "states")
        states.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(states, ConfigError):
            return _serve(arguments, paths, broker, options)
    return _serve(arguments, paths, broker, options)


def _broker(arguments: argparse.Namespace, models: tuple[str, ...]) -> Broker | None:
    """Raises ConfigError."""
    if arguments.mqtt is None:
        if arguments.topic:
            raise ConfigError("--topic is for --mqtt, which is not given")
        return None
    topics = []
    for given in arguments.topic:
        model, equals, pattern = given.partition("=")
        if not equals:
            if len(models) > 1:
                raise ConfigError(
                    f"--topic is {given!r}, and there are several bundles; expected "
                    f"MODEL=FILTER with one of {', '.join(models)}"
                )
            model, pattern = models[0], given
        elif model not in models:
            raise ConfigError(f"--topic {given!r}: expected one of {', '.join(models)} before =")
        topics.append((model, pattern))
    return Broker(
        arguments.mqtt,
        tuple(topics),
        answers=arguments.answers,
        name=arguments.name,
        qos=arguments.qos,
        form=arguments.payload,
        password=arguments.password_file,
        ca=arguments.ca,
        certificate=arguments.cert,
        key=arguments.key,
        discovery=arguments.home_assistant,
    )


def _serve(
    arguments: argparse.Namespace,
    paths: dict[str, Path],
    broker: Broker | None,
    options: Options,
) -> int:
    def check(path: Path) -> Served:
        model = load_asked(arguments, path)
        return serve_bundle(model, path, arguments.backend, arguments.artifact)

    core = Core({name: check(path) for name, path in paths.items()}, options)
    checks = {"worker": lambda: core.ready}
    bus = None if broker is None else Mqtt(core, broker)
    if bus is not None:
        checks["mqtt"] = lambda: bus.connected
    server = None if arguments.http is None else Server(arguments.http, core, checks)

    wake = Wake()
    core.on_end = wake.set
    asked = False

    def hang_up(*_: object) -> None:
        nonlocal asked
        asked = True
        wake.set()

    before = signal.signal(signal.SIGHUP, hang_up)
    sys.setswitchinterval(5e-4)  # a thread that has a message waits less for the other one
    core.start()
    try:
        if server is not None:
            server.start()
        if bus is not None:
            bus.start()
        _told(core, arguments, server)
        notify("READY=1")
        while core.failed is None:
            wake.sleep()
            if asked:
                asked = False
                notify(reloading())
                for name, path in paths.items():
                    _reload(core, name, path, check)
                notify("READY=1")
        raise core.failed
    finally:
        notify("STOPPING=1")
        signal.signal(signal.SIGHUP, before)
        if bus is not None:
            bus.stop_taking()
        core.stop()
        if bus is not None:
            bus.stop()
        if server is not None:
            server.stop()
        wake.close()


def _told(core: Core, arguments: argparse.Namespace, server: Server | None) -> None:
    for name, model in core.models.items():
        say(f"{name} on {model.served.backend}, sha256 {model.served.digest[:12]}")
    if server is not None:
        say(f"http on port {server.server_port}")
    if arguments.mqtt is not None:
        say(f"mqtt at {arguments.mqtt}, topics {' '.join(arguments.topic)}")


def _reload(core: Core, name: str, path: Path, check: Callable[[Path], Served]) -> None:
    """Take a bundle again, if it is right. Standard error says what became of it."""
    try:
        served = check(path)
        kept = core.swap(name, served)
    except EdgeLstmError as e:
        say(f"{name}: the old bundle goes on: {e}")
        return
    say(f"{name}: loaded again, sha256 {served.digest[:12]}, {kept} streams keep their states")
