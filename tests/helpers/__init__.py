"""What tests of several files share. A test module imports from here and from the packages, and from no other test."""
