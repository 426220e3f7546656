"""What a model is: specification, weights, the bundle's file."""
