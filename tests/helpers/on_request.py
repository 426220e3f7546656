"""The mark of tests that take long and add little to what their siblings show."""

import os

import pytest

ALL = "EDGE_LSTM_ALL_FAULTS" in os.environ
ON_REQUEST = pytest.mark.skipif(not ALL, reason="takes long; EDGE_LSTM_ALL_FAULTS=1 runs it")
