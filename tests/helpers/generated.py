"""How Hypothesis makes its examples."""

from hypothesis import settings

# No example database: a test run leaves no files in the working folder.
PROPERTY = settings(database=None, deadline=None, max_examples=60)
