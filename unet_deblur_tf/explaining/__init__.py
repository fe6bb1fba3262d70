"""Explains networks: where they look in a picture, and what their layers cost."""
