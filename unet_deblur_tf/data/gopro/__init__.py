"""GoPro as a data set of TensorFlow Datasets: `import unet_deblur_tf.data.gopro`, then `tfds.load("gopro")`."""

from unet_deblur_tf.data.gopro.gopro_dataset_builder import Builder

__all__ = ["Builder"]
