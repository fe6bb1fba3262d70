"""One training run: prepare, fit, publish."""
