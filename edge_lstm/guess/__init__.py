"""A configuration that is guessed from data, for `edge-lstm init`.

Each source has a file in `sources`, which finds its data in a file or a folder, and each task one
in `tasks`, which says whether the data is for it and writes its keys. What was guessed is read by
the source itself, so that training reads the same.
"""

from __future__ import annotations

from edge_lstm_runtime.registry import Registry

FINDERS = Registry("edge_lstm.guess.sources", "edge_lstm.finders", "source", marker="find")
PLANS = Registry("edge_lstm.guess.tasks", "edge_lstm.plans", "task", marker="PLAN")
