"""The TFDS builder of GoPro: pairs of uint8 images with their sequence and frame."""

import tensorflow_datasets.public_api as tfds
from absl import logging

from unet_deblur_tf.data.gopro.source import (
    HOMEPAGE,
    find_source,
    official_pairs,
    read_png,
    what_is_missing,
    where_to_get_it,
)
from unet_deblur_tf.errors import InputError


class Builder(tfds.core.GeneratorBasedBuilder):
    """GoPro (Nah, Kim, Lee, CVPR 2017) from `GOPRO_Large.zip` or its unpacked folder in the manual folder.

    The PNG files are stored unchanged.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "The set as released in 2017."}
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="blur", description="Averages of 7 to 13 encoded frames."),
        tfds.core.BuilderConfig(
            name="blur_gamma", description="Averages of 7 to 13 frames in linear light: gamma 2.2 is undone first."
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = where_to_get_it("the manual folder")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "blur": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                    "sharp": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                    "sequence": tfds.features.Text(),
                    "frame": tfds.features.Text(),
                }
            ),
            supervised_keys=("blur", "sharp"),
            homepage=HOMEPAGE,
            license="CC BY 4.0",
        )

    def _split_generators(self, dl_manager):
        try:
            manual = dl_manager.manual_dir
        except AssertionError as error:  # TFDS raises this if the folder is missing or empty
            raise InputError(" ".join(str(error).split())) from error
        source = find_source(manual)
        if source is None:
            raise InputError(where_to_get_it(manual))
        splits = official_pairs(source, self.builder_config.name)
        if missing := what_is_missing({split: len(pairs) for split, pairs in splits.items()}):
            logging.warning(missing)
        return {split: self._generate_examples(source, pairs) for split, pairs in splits.items()}

    def _generate_examples(self, source, pairs):
        for pair in pairs:
            blur, size = read_png(source, pair.blur)
            sharp, sharp_size = read_png(source, pair.sharp)
            if size != sharp_size:
                raise InputError(f"{pair.blur} is {size} but its twin {pair.sharp} is {sharp_size}")
            key = f"{pair.sequence}/{pair.name}"
            yield key, {"blur": blur, "sharp": sharp, "sequence": pair.sequence, "frame": pair.name}
