"""Where pairs of pictures come from, and how they become batches."""
