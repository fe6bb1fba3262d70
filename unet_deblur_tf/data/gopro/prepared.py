"""GoPro as TFDS prepared it, as pairs: any picture by number, without reading the ones before it."""

import functools
import hashlib
import io
import json
import sys
from pathlib import Path

import absl.logging
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from tqdm import tqdm

from unet_deblur_tf.data.gopro.gopro_dataset_builder import Builder
from unet_deblur_tf.data.gopro.source import find_source, what_is_missing, where_to_get_it
from unet_deblur_tf.data.pairs import Pair
from unet_deblur_tf.data.pictures import StoredPicture
from unet_deblur_tf.errors import InputError, first_line
from unet_deblur_tf.utils.files import default_cache, make_folder, write_by_rename

RECORD_HEAD, RECORD_TAIL = 12, 4  # bytes of length and checksums around a record of a TFRecord file


@functools.lru_cache(maxsize=4)  # each split of a run asks for it
def load_gopro(blur="blur", data_dir=None, cache_dir=None):
    """The pairs of both official splits; prepares the set if it is not yet.

    Args:
        blur: "blur" or "blur_gamma".
        data_dir: folder of TFDS; by default as TFDS has it, `~/tensorflow_datasets`. The
            archive may lie in it, or in its `downloads/manual/`.
        cache_dir: where the list of pictures is kept, the user's cache folder by default.

    Returns:
        {"train": list of `Pair`, "test": list of `Pair`} of `StoredPicture`, in order of sequence and frame.

    Raises:
        InputError: if it is neither prepared nor there to prepare from.
    """
    if blur not in Builder.builder_configs:
        raise InputError(f"--blur {blur}: GoPro has {' and '.join(Builder.builder_configs)}")
    cache_dir = Path(cache_dir or default_cache())
    verbosity = absl.logging.get_verbosity()
    # A data set that is not there yet is no cause for warnings, and an incomplete one is told of below.
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        builder = Builder(config=blur, data_dir=data_dir)
        if not builder.is_prepared():
            _prepare(builder, Path(data_dir) if data_dir else Path(builder.data_dir).parents[2])
            builder = Builder(config=blur, data_dir=data_dir)  # which reads what is there now
    except OSError as error:
        raise InputError(f"GoPro cannot be prepared: {error}") from error
    finally:
        absl.logging.set_verbosity(verbosity)
    if missing := what_is_missing({split: info.num_examples for split, info in builder.info.splits.items()}):
        print(f"{missing}. To prepare it anew, delete {builder.data_dir}", file=sys.stderr)
    try:
        return {split: _pairs(builder, split, cache_dir) for split in builder.info.splits}
    except (OSError, tf.errors.OpError) as error:
        raise InputError(
            f"{builder.data_dir} is damaged ({first_line(error)}): delete it to prepare it anew"
        ) from error


def _prepare(builder, root):
    manual = root / "downloads/manual"
    if find_source(manual) is None:
        if find_source(root) is None:
            raise InputError(f"GoPro is not there yet. {where_to_get_it(root, manual)}")
        manual = root
    make_folder(root)
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual))
    except OSError:
        # Another process, such as another worker of the same training, may have been faster.
        if not builder.is_prepared():
            raise


def _pairs(builder, split, cache_dir):
    files = [str(path) for path in builder.info.splits[split].filepaths]
    stamp = [[path, Path(path).stat().st_size, Path(path).stat().st_mtime_ns] for path in files]
    digest = hashlib.sha256(json.dumps([1, stamp]).encode()).hexdigest()[:16]
    index = cache_dir / f"gopro-{digest}.json"
    if not index.exists():
        make_folder(cache_dir)
        rows = sorted(_scan(files, builder.info.splits[split].num_examples, f"{builder.info.full_name} {split}"))
        with write_by_rename(index) as path:
            path.write_text(json.dumps(rows))
    pairs = []
    for sequence, frame, *pictures in json.loads(index.read_text()):
        stored = (
            StoredPicture(f"{sequence}/{kind}/{frame} of {files[number]}", files[number], start, length, tuple(size))
            for kind, (number, start, length, size) in zip(("blur", "sharp"), pictures)
        )
        pairs.append(Pair(sequence, frame, *stored))
    return pairs


def _scan(files, count, name):
    """Reads all records once; yields sequence, frame and, for blurred and sharp, [file's number, start, length, size].

    An image is stored in a record as the bytes of its PNG file, so those can be read without the rest.
    """
    with tqdm(total=count, desc=f"Listing {name}", unit="pair") as bar:
        for number, file in enumerate(files):
            start = RECORD_HEAD
            for record in tf.data.TFRecordDataset(file).as_numpy_iterator():
                values = tf.train.Example.FromString(record).features.feature
                row = [values[key].bytes_list.value[0].decode() for key in ("sequence", "frame")]
                for key in ("blur", "sharp"):
                    data = values[key].bytes_list.value[0]
                    row.append([number, start + record.index(data), len(data), Image.open(io.BytesIO(data)).size])
                yield row
                start += len(record) + RECORD_TAIL + RECORD_HEAD
                bar.update()
