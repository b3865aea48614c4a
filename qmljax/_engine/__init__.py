"""A `Program` and its angles become a state, and a state values."""
