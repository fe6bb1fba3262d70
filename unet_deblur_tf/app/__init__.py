"""A page that restores photos in the browser."""
