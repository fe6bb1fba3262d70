"""Makes pairs by synthesis: sharp scenes, the blur of a camera, and the files of the pairs in the cache."""
