"""Restores blurred pictures, photo files and videos."""
