"""The networks: layers, blocks, assembly, and trained ones. Importing `models.unet` registers the layers with Keras."""
