"""The search for a small and good net under a board's budget."""
