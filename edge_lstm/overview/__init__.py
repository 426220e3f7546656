"""What there is in the data of a configuration, before anything is trained."""
