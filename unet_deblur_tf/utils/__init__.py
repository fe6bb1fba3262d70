"""Helpers: files, progress bars, hardware, sheets of pictures, and how a command starts and fails."""
