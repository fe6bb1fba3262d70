"""TFDS's own test of a builder: it is registered, prepares, and can be read in every way."""

from pathlib import Path

import tensorflow_datasets as tfds

from unet_deblur_tf.data.gopro.gopro_dataset_builder import Builder


class GoproTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Builder
    # Not in the package, beside the builder, where TFDS would look for it: users need neither.
    EXAMPLE_DIR = Path(__file__).parent / "data/gopro_dummy"
    SPLITS = {"train": 3, "test": 2}
    # It reads files of the manual folder, which is a local one, without tf.io.gfile.
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False
