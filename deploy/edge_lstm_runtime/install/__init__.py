"""A bundle onto a board: checked there, swapped by a link, watched, rolled back."""
