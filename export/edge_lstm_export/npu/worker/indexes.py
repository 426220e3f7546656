"""From where uv takes packages: from where pip would, without being told twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_PYPI = "https://pypi.org/simple"
# uv does not read pip's configuration. pip's settings -> uv's names of them.
_HANDED_ON = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}


def settings_for(tag: str) -> dict[str, str]:
    """Variables for uv. They hand on a private index, wheel folder, certificate or proxy of pip's.

    uv's own variables win. tag: of the environment's Python, such as "cp311".
    """
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    pip = {}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        pip[key.rsplit(".", 1)[-1]] = " ".join(
            value.strip().strip("'\"").replace("\\n", " ").split()
        )
    for key in _HANDED_ON:  # these beat pip's files, and hold even if there is no pip to ask
        if given := os.environ.get("PIP_" + key.upper().replace("-", "_")):
            pip[key] = " ".join(given.split())
    settings = {}
    for key, variable in _HANDED_ON.items():
        known = (
            {variable}
            if key != "proxy"
            else {n for p in ("ALL", "HTTPS", "HTTP") for n in (f"{p}_PROXY", f"{p.lower()}_proxy")}
        )
        if pip.get(key) and not known & os.environ.keys():
            settings[variable] = pip[key].replace(" ", "," if variable == "UV_FIND_LINKS" else " ")
    if "UV_INDEX" in settings:
        # uv takes a package from the first index that has its name, and would ask these first. To
        # pip they are extra: for what its main index lacks.
        main = settings.get("UV_DEFAULT_INDEX") or os.environ.get("UV_DEFAULT_INDEX") or _PYPI
        settings["UV_INDEX"] = f"{main} {settings['UV_INDEX']}"
    links = (
        (settings.get("UV_FIND_LINKS") or os.environ.get("UV_FIND_LINKS", ""))
        .replace(",", " ")
        .split()
    )
    if not any(
        wheel
        for folder in links
        for wheel in Path(folder.removeprefix("file://")).glob(f"torch-*-{tag}-*.whl")
    ):
        # The converter never uses a GPU.
        settings["UV_TORCH_BACKEND"] = os.environ.get("UV_TORCH_BACKEND", "cpu")
    return settings
