"""Pairs that are made: sharp scenes, how a camera blurs them, and the pairs as files in the cache."""
