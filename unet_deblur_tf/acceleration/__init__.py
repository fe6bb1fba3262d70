"""The same function, rewritten to take less time and memory. Needs TensorFlow."""
