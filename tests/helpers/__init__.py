"""Shared by tests of several files. A test imports from here and the packages, not from a test."""
