"""Finds or makes pairs of blurred and sharp pictures, and turns them into batches."""
