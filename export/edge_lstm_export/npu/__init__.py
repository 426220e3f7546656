"""NPU vendors and their targets."""
