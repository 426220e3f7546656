"""The answers that a network learns. Each task is a file here or a plug-in.

No other file names a task. A task's module has the class `Section`, with its keys of [model] and
[train] and its facts. And it has `TASK`, with all else that differs between tasks, see base.py.
"""

from __future__ import annotations

from edge_lstm_runtime.registry import Registry

TASKS = Registry("edge_lstm.tasks", "edge_lstm.tasks", "task", marker="Section")
# And the tasks of nets that others trained, whose modules have TASK alone.
MEASURED = Registry("edge_lstm.tasks", "edge_lstm.tasks", "task", marker="TASK")
