"""TFDS's own test of a builder, on `dummy_data/`: it is registered, prepares, and can be read in every way."""

import tensorflow_datasets as tfds

from unet_deblur_tf.data.gopro.gopro_dataset_builder import Builder


class GoproTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = Builder
    SPLITS = {"train": 3, "test": 2}
    # It reads files of the manual folder, which is a local one, without tf.io.gfile.
    MOCK_OUT_FORBIDDEN_OS_FUNCTIONS = False


if __name__ == "__main__":
    tfds.testing.test_main()
