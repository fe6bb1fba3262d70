"""Rewrites a network so that it computes the same function in less time and memory. Needs TensorFlow."""
