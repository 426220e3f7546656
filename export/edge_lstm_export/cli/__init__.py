"""The exporter's commands, a file each."""
