"""Where a network looks, and where its cost sits."""
