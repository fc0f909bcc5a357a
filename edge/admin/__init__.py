"""What operators see of a running gate, on a listener of its own."""
