"""Bundles to many boards over ssh, and what the boards say of them."""
