"""From what this edge-lstm was installed, for the messages that say how to install more of it."""

from __future__ import annotations


def pip_install(extra: str) -> str:
    """The command that adds one of edge-lstm's extras to this installation.

    It names the wheel or the clone that pip noted when it installed edge-lstm (direct_url.json), as
    no package index has edge-lstm.
    """
    import importlib.metadata  # at an error alone: these take a board a while to load
    import json
    import urllib.parse

    try:
        noted = importlib.metadata.distribution("edge-lstm").read_text("direct_url.json")
        origin = json.loads(noted or "{}")
    except (importlib.metadata.PackageNotFoundError, ValueError):  # a source folder on the path
        origin = {}
    url = urllib.parse.urlsplit(origin.get("url", ""))
    if url.scheme != "file":
        return f'pip install "WHEEL[{extra}]" with the path of edge-lstm\'s wheel'
    editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
    return f'pip install {editable}"{urllib.parse.unquote(url.path)}[{extra}]"'
