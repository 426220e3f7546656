"""A bundle without the recordings in it."""
