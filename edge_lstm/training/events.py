"""TensorBoard's event file, appended to row by row.

TensorBoard's own writer appends from a thread, in which a full disk ends in a traceback. Here a row
of events is one write, and what a failed one left is cut off again.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class Events:
    """purge: events of earlier files count no more from this step on. None: all count.

    Each method raises OSError.
    """

    def __init__(self, folder: Path, purge: int | None):
        folder.mkdir(exist_ok=True)
        self._path = folder / f"events.out.tfevents.{time.time():.6f}"
        events = [Event(wall_time=time.time(), file_version="brain.Event:2")]
        if purge is not None:
            start = SessionLog(status=SessionLog.START)
            events.append(Event(wall_time=time.time(), step=purge, session_log=start))
        self._append(events)

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        now = time.time()
        self._append(
            [
                Event(
                    wall_time=now,
                    step=step,
                    summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)]),
                )
                for tag, value in scalars.items()
            ]
        )

    def _append(self, events: list[Event]) -> None:
        buffer = io.BytesIO()
        records = RecordWriter(buffer)
        for event in events:
            records.write(event.SerializeToString())
        data = buffer.getvalue()
        with self._path.open("ab", buffering=0) as file:
            size = file.tell()
            try:
                while data:
                    data = data[file.write(data) :]
            except OSError:
                file.truncate(size)
                raise
