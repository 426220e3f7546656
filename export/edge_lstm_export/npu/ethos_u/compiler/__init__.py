"""From a network and its ranges to a compiled model. It runs in the compiler's own environment,
which has torch, ExecuTorch and Vela. `worker.py` loads it there."""
