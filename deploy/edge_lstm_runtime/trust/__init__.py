"""Whose bundle it is: signatures, and the highest version that was seen. Nothing here signs."""
