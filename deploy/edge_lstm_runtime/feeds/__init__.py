"""Where samples come from on a board: lines of text, sound."""
