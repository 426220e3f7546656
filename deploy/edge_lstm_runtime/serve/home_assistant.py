"""Home Assistant finds the answers by itself (MQTT discovery).

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..tasks import Answer


def announcements(
    prefix: str, name: str, answer: Answer, place: tuple[str, str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Pairs of a topic and what is retained there: a sensor for the label, or for each value.

    prefix: Home Assistant's, such as "homeassistant". place: topics of the answers, of the status.
    """
    topic, status = place
    known = hashlib.sha256(f"{name} {topic}".encode()).hexdigest()[:12]
    leaves = dict(_leaves(answer.describe(np.zeros(answer.size)), "value_json"))
    label = {path: key for path, key in leaves.items() if key == "label"}
    for k, (path, key) in enumerate((label or leaves).items()):
        number = f"edge_lstm_{known}_{k}"
        facts = {
            "name": f"{topic.removesuffix('/answer')} {key}",
            "unique_id": number,
            "object_id": number,
            "state_topic": topic,
            "value_template": f"{{{{ {path} }}}}",
            "json_attributes_topic": topic,
            "availability_topic": status,
        }
        yield f"{prefix}/sensor/{number}/config", facts


def _leaves(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Pairs of a path in Jinja's words and the last name in it."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            inner = f"{path}[{key!r}]"
            if isinstance(part, (Mapping, list)):
                yield from _leaves(part, inner)
            else:
                yield inner, str(key)
    elif isinstance(value, list):
        for k, part in enumerate(value):
            yield from _leaves({k: part}, path)
