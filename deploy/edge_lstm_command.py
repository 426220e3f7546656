"""Where the command `edge-lstm` starts. It is outside of the packages, which take a while to load.

Until they are loaded, there is nothing to clean up, and a signal may end the process as it does by
default, without a traceback. So it may after the command's end.
"""

import signal
import sys


def main() -> int:
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from edge_lstm_runtime.cli import main as run  # not before the line above

    return run()


if __name__ == "__main__":
    sys.exit(main())
