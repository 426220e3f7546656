"""Where the command `edge-lstm` starts. It is outside of the packages, which take a while to load.

Until they are loaded there is nothing to clean up, and a signal may end the process as it does by
default, without a traceback. So it may after the command's end. Nothing else imports this file.
"""

import _signal  # `signal` is made of it, and would be the first import that a signal can hit
import sys

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # the shell doesn't ignore it
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


def main() -> int:
    from edge_lstm_runtime.cli import main as run  # not before the lines above

    return run()


if __name__ == "__main__":
    sys.exit(main())
