"""What an export measures."""
