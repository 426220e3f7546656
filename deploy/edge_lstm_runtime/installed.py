"""The source of this installation, for messages that say how to install an extra."""

from __future__ import annotations


def pip_install(extra: str) -> str:
    """The command that adds one of edge-lstm's extras to this installation.

    No package index has edge-lstm. So the command names the wheel or the clone that pip noted when
    it installed edge-lstm (direct_url.json).
    """
    import importlib.metadata  # here: slow to load on a board, and needed after an error only
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
