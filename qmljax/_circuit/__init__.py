"""A `QuantumCircuit` becomes a `Program`: static, frozen, hashable data."""
