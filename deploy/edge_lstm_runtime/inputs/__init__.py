"""From a raw sample to the network's features."""
