"""What is cut: networks, the places where they can be cut, and what reads weights of others."""
