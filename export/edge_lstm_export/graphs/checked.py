"""An ONNX graph from bytes, if it is a valid one."""

from __future__ import annotations

from pathlib import Path

import onnx

from edge_lstm_runtime import ConfigError


def checked(name: str, content: bytes, path: Path | None = None) -> onnx.ModelProto:
    """path: where it is from. External data is beside it. Raises ConfigError."""
    try:
        graph = onnx.load_model_from_string(content)
        # By its path, the checker finds external data, and refuses what is outside of the folder.
        onnx.checker.check_model(str(path) if path else graph)
    except Exception as e:  # the parser and the checker may raise almost any
        reason = next((line for line in str(e).splitlines() if line.strip()), type(e).__name__)
        raise ConfigError(f"{name} is not a valid ONNX graph: {reason}") from e
    return graph
