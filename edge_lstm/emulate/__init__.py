"""Number formats, emulated and differentiable."""
