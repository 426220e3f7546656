"""Ray: a cluster that is there already, or one on this machine."""

from __future__ import annotations

from . import Engine

ENGINE = Engine("ray", "ray", "edge_lstm.search.ray_token:run")
