"""`python -m edge_lstm_runtime.cli` is the command `edge-lstm`."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
