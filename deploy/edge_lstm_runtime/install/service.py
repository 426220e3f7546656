"""The service that runs the bundle: it is told to load it again, and watched.

`edge-lstm serve` goes on with the old bundle if the new one is not right. So that it is ready
proves nothing: its metrics have to show the digest of the new one.
"""

from __future__ import annotations

import dataclasses
import http.client
import re
import shlex
import shutil
import time
from urllib.parse import urlsplit

from ..errors import ConfigError, EdgeLstmError
from .process import ended, run

RELOAD_SECONDS = 30.0
REQUEST_SECONDS = 2.0
TURN = 1.0  # seconds between two questions
MOST = 1 << 20  # bytes of an answer
_SERVED = re.compile(r'^edge_lstm_model_info\{.*sha256="([0-9a-f]{64})"', re.MULTILINE)


class ServiceError(EdgeLstmError):
    """The service is not as it should be."""


@dataclasses.dataclass(frozen=True)
class Service:
    """reload: the command's words, () if there is none. health: the URL, "" if there is none.
    seconds: until it must be healthy, and then as long it must stay so."""

    reload: tuple[str, ...] = ()
    health: str = ""
    seconds: float = 10.0

    def __post_init__(self) -> None:
        """Raises ConfigError."""
        if self.reload and shutil.which(self.reload[0]) is None:
            raise ConfigError(f"--reload: there is no program {self.reload[0]!r}")
        if not 0 < self.seconds < 1e6:
            raise ConfigError(f"--watch is {self.seconds}; expected seconds above 0")
        if self.health:
            _address(self.health)

    def load_again(self) -> None:
        """Run the command. Raises ServiceError."""
        if not self.reload:
            return
        shown = shlex.join(self.reload)
        try:
            code, said = run(self.reload, RELOAD_SECONDS)
        except TimeoutError as e:
            raise ServiceError(f"`{shown}`: {e}") from e
        if code:
            raise ServiceError(f"`{shown}`: {ended(code, said)}")

    def settle(self, digest: str) -> None:
        """Wait until it is ready with this bundle. Raises ServiceError."""
        end = time.monotonic() + self.seconds
        while why := self.fault(digest):
            if time.monotonic() > end:
                raise ServiceError(f"{why}, {self.seconds:g} s after the reload")
            time.sleep(self._turn)

    def stay(self, digest: str) -> None:
        """Raises ServiceError as soon as it is not ready, or has another bundle."""
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            time.sleep(self._turn)
            if why := self.fault(digest):
                raise ServiceError(f"{why}, after it had been healthy")

    @property
    def _turn(self) -> float:
        return min(TURN, self.seconds / 4)

    def fault(self, digest: str) -> str:
        """Why it is not ready with this bundle, "" if it is."""
        try:
            if not self.ready():
                return f"{self.health}/readyz does not answer 200"
            served = self.served()
        except ServiceError as e:
            return str(e)
        if digest in served:
            return ""
        shown = " and ".join(d[:12] for d in served) or "no bundle"
        return f"{self.health} serves {shown}, and not {digest[:12]}"

    def ready(self) -> bool:
        """Raises ServiceError if it can't be asked."""
        return self._get("/readyz")[0] == 200

    def served(self) -> list[str]:
        """The digests of the bundles that it serves. Raises ServiceError."""
        return _SERVED.findall(self._get("/metrics")[1])

    def _get(self, path: str) -> tuple[int, str]:
        host, port, prefix = _address(self.health)
        connection = http.client.HTTPConnection(host, port, timeout=REQUEST_SECONDS)
        end = time.monotonic() + REQUEST_SECONDS
        try:
            connection.request("GET", prefix + path)
            answer = connection.getresponse()
            data = b""
            while (piece := answer.read1(MOST)) and len(data) < MOST:
                data += piece
                if time.monotonic() > end:
                    raise TimeoutError("timed out")
        except (OSError, http.client.HTTPException) as e:
            reason = getattr(e, "strerror", None) or str(e) or type(e).__name__
            raise ServiceError(f"{self.health}{path}: {reason}") from e
        finally:
            connection.close()
        return answer.status, data.decode(errors="replace")


def _address(url: str) -> tuple[str, int, str]:
    """Host, port and path of plain HTTP. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        plain = parts.scheme == "http" and not (parts.username or parts.query or parts.fragment)
        if plain and parts.hostname:
            return parts.hostname, parts.port or 80, parts.path.rstrip("/")
    except ValueError:
        pass
    raise ConfigError(f"--health is {url!r}; expected http://HOST:PORT, as http://127.0.0.1:8080")
