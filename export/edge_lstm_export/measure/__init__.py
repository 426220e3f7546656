"""The measurements of an export."""
