"""What is in a folder now, and what the service serves."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .place import WATCHING, Place
from .service import Service, ServiceError

UNFINISHED = "the last installation goes on, or was cut off: install again to end it"


def status(folder: Path, service: Service) -> tuple[dict[str, Any], str]:
    """Its facts, and what is not as it should be, "" if nothing. Raises ConfigError and OSError."""
    if not folder.is_dir():
        raise ConfigError(f"--to is {folder}; there is no such folder")
    place = Place(folder)
    current = place.current()
    journal = place.journal()
    same = current is not None and journal.now is not None and current.folder == journal.now.folder
    found: dict[str, Any] = dict.fromkeys(("name", "version", "digest"))
    if current is not None:
        found = {**dataclasses.asdict(current), "name": current.name or None}
    found["state"] = journal.state if journal.now or journal.state == WATCHING else None
    for key in ("backend", "p50_us", "p99_us", "nrmse"):
        found[key] = journal.figures.get(key) if same else None
    ready, served, wrong = _asked(service, current.digest if current else "")
    if current is None:
        wrong = f"nothing is installed in {folder}"
    elif not current.name:
        wrong = f"the bundle in {place.link} can't be read: install it again"
    elif journal.state == WATCHING:
        wrong = UNFINISHED
    found |= {"ready": ready, "serving": served}
    found["releases"] = [dataclasses.asdict(place.release(name)) for name in place.names()]
    found["why"] = wrong or journal.why
    return found, wrong


def _asked(service: Service, digest: str) -> tuple[bool | None, str | None, str]:
    """Whether it is ready, the digest that it serves, and its fault."""
    if not service.health:
        return None, None, ""
    try:
        ready = service.ready()
        served = service.served()
    except ServiceError as e:
        return False, None, str(e)
    shown = digest if digest in served else (served[0] if served else None)
    return ready, shown, service.fault(digest)
