"""Sources of samples on a board: lines of text, sound."""
