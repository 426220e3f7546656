"""What a network learns to answer. Each task is a file here, or a plug-in; no other file names one.

A task's module has the class `Section`: its keys of [model] and [train], and its facts. And it has
`TASK`: all else that differs between tasks, see base.py.
"""

from __future__ import annotations

from edge_lstm_runtime.registry import Registry

TASKS = Registry("edge_lstm.tasks", "edge_lstm.tasks", "task", marker="Section")
