"""A converter in an environment and a process of its own: made, started, asked, watched, ended."""
