"""The front door: circuits as functions, quantum neural networks and kernels, and their files."""
