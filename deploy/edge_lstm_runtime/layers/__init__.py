"""Layer types."""
