"""The boards that are meant: an inventory, names in it, addresses; each mistake is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_lstm_export.fleet.hosts import Host, check_keys, host_from
from edge_lstm_export.fleet.inventory import asked_hosts
from edge_lstm_runtime.errors import ConfigError
from edge_lstm_runtime.shown import is_plain
from helpers.generated import PROPERTY

INVENTORY = """
[defaults]
to = "/opt/har"
command = "sudo -n edge-lstm"
watch = 5
ssh_options = ["ConnectTimeout=5"]
[[hosts]]
name = "front"
address = "pi@10.0.0.7"
port = 2222
[[hosts]]
address = "10.0.0.8"
to = "/srv/other one"
allow_downgrade = true
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "fleet.toml").write_text(INVENTORY)
    return tmp_path / "fleet.toml"


def test_a_host_has_its_own_keys_before_the_defaults(file: Path) -> None:
    common = {"command": "sudo -n edge-lstm", "watch": 5, "ssh_options": ("ConnectTimeout=5",)}
    assert asked_hosts([], file, {}) == [
        Host("front", "pi@10.0.0.7", "/opt/har", port=2222, **common),
        Host("10.0.0.8", "10.0.0.8", "/srv/other one", allow_downgrade=True, **common),
    ]


def test_the_command_line_comes_before_the_file(file: Path) -> None:
    found = asked_hosts([], file, {"to": "mine", "port": 22, "ssh_options": ["Compression=yes"]})
    assert [(h.to, h.port, h.ssh_options) for h in found] == 2 * [
        ("mine", 22, ("Compression=yes",))
    ]


def test_names_choose_hosts_of_the_file(file: Path) -> None:
    assert [h.name for h in asked_hosts(["10.0.0.8"], file, {})] == ["10.0.0.8"]
    with pytest.raises(ConfigError, match=r"has no host 'frnt'; did you mean 'front'\?"):
        asked_hosts(["frnt"], file, {})


def test_addresses_without_a_file() -> None:
    assert asked_hosts(["pi@a", "b"], None, {"to": "x"}) == [
        Host("pi@a", "pi@a", "x"),
        Host("b", "b", "x"),
    ]


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ([], {"to": "x"}, "there is no board to ask"),
        (["a"], {}, "the board 'a': nothing says which folder on the board"),
        (["-oProxyCommand=touch x"], {"to": "x"}, "that does not begin with '-'"),
        (["-v"], {"to": "x"}, "that does not begin with '-'"),
        (["a b"], {"to": "x"}, "address is 'a b'; expected user@host"),
        (["a;touch x"], {"to": "x"}, "address is 'a;touch x'; expected user@host"),
        (["$(touch x)"], {"to": "x"}, "expected user@host"),
        ([""], {"to": "x"}, "expected"),
        (["a\n"], {"to": "x"}, "expected"),
        (["a", "b", "a"], {"to": "x"}, "a: a has this name; name each board once"),
        (["a"], {"to": " "}, "an option: to is ' '; expected a text in one line"),
        (["a"], {"to": "x", "port": 65536}, "port is 65536; expected a whole number from 1"),
        (["a"], {"to": "x", "watch": float("nan")}, "watch is nan; expected seconds"),
        (["a"], {"to": "x", "ssh_options": ["-F/x"]}, "expected a list of texts such as"),
    ],
)
def test_a_mistake_on_the_command_line(
    names: list[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        asked_hosts(names, None, options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


HOST = '[[hosts]]\naddress = "a"\nto = "x"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no hosts; expected at least one table [[hosts]]"),
        ("hosts = []", "has no hosts"),
        ("hosts = 3", "has no hosts"),
        ("hosts = [3]", "host 1 is 3; expected a table"),
        ("[host]\na = 1\n" + HOST, "there is no table 'host'; expected [defaults] and [[hosts]]"),
        ("defaults = 3\n" + HOST, "defaults is 3; expected a table"),
        ('[defaults]\nreloads = "x"\n' + HOST, "no key 'reloads'; did you mean 'reload'?"),
        ('[defaults]\naddress = "x"\n' + HOST, "[defaults]: there is no key 'address'"),
        (HOST + "comand = 'x'", "host 1: there is no key 'comand'; did you mean 'command'?"),
        ("[[hosts]]\nto = 'x'", "host 1 has no address; expected user@host"),
        ('[[hosts]]\naddress = "a"', "host 1 (a): nothing says which folder"),
        (HOST + 'port = "22"', "host 1: port is '22'; expected a whole number from 1 to 65535"),
        (HOST + "port = true", "port is True; expected a whole number"),
        (HOST + "allow_downgrade = 1", "allow_downgrade is 1; expected true or false"),
        (HOST + "watch = -1", "watch is -1; expected seconds"),
        (HOST + 'reload = "a\\nb"', "reload is 'a\\nb'; expected a text in one line"),
        (HOST + 'name = "\\u001b[2J"', "name is '\\x1b[2J'; expected a text in one line"),
        (HOST + HOST, "host 2: the name 'a' is taken"),
        (HOST + HOST + 'name = "b"', "b: a has the same address, port and folder"),
        ("a = ", "not valid TOML"),
        ("a = " + "[" * 5000, "not valid TOML"),
        ("a = " + "9" * 5000, "fleet.toml"),
    ],
)
def test_a_mistake_in_the_file(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "fleet.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        asked_hosts([], tmp_path / "fleet.toml", {})
    assert message in str(caught.value)
    assert "fleet.toml" in str(caught.value) or message.startswith("b:")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for name, content in (("none", None), ("binary", b"\xff\xfe"), ("large", b"#" * (1 << 21))):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match=name):
            asked_hosts([], tmp_path / name, {})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from([
    "name", "address", "to", "port", "command", "trusted", "remember", "allow_downgrade",
    "reload", "health", "watch", "ssh_options"
])  # fmt: skip


@PROPERTY
@given(st.dictionaries(KEYS | st.text(), VALUES))
def test_any_values_are_a_host_or_one_line(values: dict[str, Any]) -> None:
    known = list(Host.__dataclass_fields__)
    try:
        check_keys(values, known, "here")
        host = host_from({"name": "n", "address": "a", **values}, "here")
        texts = [host.name, host.to, host.command, host.reload, host.health, *host.ssh_options]
        assert host.address[0] != "-"
    except ConfigError as e:
        texts = [str(e)]
    assert all(is_plain(text) for text in texts if text is not None)
