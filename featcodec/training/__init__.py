"""What fits and attacks share: the training-time model, optimizer, states, and inversion networks."""
