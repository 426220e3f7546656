"""The sources of recordings. Each is a file here or a plug-in. No other file names one.

A source's module has the class `Section`: its keys of [data], and its reader.
"""

from __future__ import annotations

from edge_lstm_runtime.registry import Registry

SOURCES = Registry("edge_lstm.data.sources", "edge_lstm.sources", "source", marker="Section")
