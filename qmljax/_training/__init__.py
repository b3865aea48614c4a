"""Training: optax in a compiled loop."""
