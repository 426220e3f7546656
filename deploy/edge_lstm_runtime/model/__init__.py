"""A model: its specification, its weights, the bundle's file."""
