"""A folder of runs as a table."""
