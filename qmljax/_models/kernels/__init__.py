"""Quantum kernels: N states and one matrix product, instead of N**2 circuits."""
