"""The token of a Ray cluster, which Ray reads as it is imported."""

from __future__ import annotations

import os
import secrets

from .engines import Found, Job


def run(job: Job) -> Found:
    """The search by Ray. A cluster of this machine's own gets a token of its own.

    Ray would write one into the home folder. A cluster elsewhere has one, if it wants one.
    """
    if not job.address:
        if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # which prints a table of its own
    # A trial without a metric failed, and is no proposal to learn from.
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"

    from . import with_ray

    return with_ray.run(job)
