"""Trains networks. A run has three steps: prepare, fit, publish."""
