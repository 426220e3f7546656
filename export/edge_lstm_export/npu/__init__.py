"""NPU vendors and their targets."""

SIM_STEPS = 20_000  # more than any recipe's test split has; a minute of the simulator
