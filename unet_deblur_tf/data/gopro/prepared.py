"""Opens GoPro as prepared by TFDS. Each picture can be read by itself, without the pictures before it."""

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

RECORD_HEAD, RECORD_TAIL = 12, 4  # bytes of length and checksums before and after a record of a TFRecord file


@functools.lru_cache(maxsize=4)  # a run opens the set once for each split
def load_gopro(
    blur: str = "blur", data_dir: str | Path | None = None, cache_dir: str | Path | None = None
) -> dict[str, list[Pair]]:
    """Opens the pairs of both official splits. Prepares the set with TFDS first, if that has not been done.

    Args:
        blur: "blur" or "blur_gamma".
        data_dir: folder of TFDS; None for the folder that TFDS uses, `~/tensorflow_datasets`. The archive can be in
            this folder or in its `downloads/manual/`.
        cache_dir: folder for the list of pictures; None for the user's cache folder.

    Returns:
        {"train": list of `Pair`, "test": list of `Pair`}, in the order of sequence and frame. The pictures are
        `StoredPicture`.

    Raises:
        InputError: if the set is not prepared and there is no archive to prepare it from, or its files are damaged.
    """
    if blur not in Builder.builder_configs:
        raise InputError(f"--blur {blur}: GoPro has {' and '.join(Builder.builder_configs)}")
    cache_dir = Path(cache_dir or default_cache())
    verbosity = absl.logging.get_verbosity()
    # Hide the warnings of TFDS: it is normal that a set is not prepared yet, and `what_is_missing` covers the rest.
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        builder = Builder(config=blur, data_dir=data_dir)
        if not builder.is_prepared():
            _prepare(builder, Path(data_dir) if data_dir else Path(builder.data_dir).parents[2])
            builder = Builder(config=blur, data_dir=data_dir)  # reads the description of the prepared set
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
    """Prepares the set from the archive in `root`, the folder of TFDS, or in its `downloads/manual/`."""
    manual = root / "downloads/manual"
    if find_source(manual) is None:
        if find_source(root) is None:
            raise InputError(f"GoPro is not there yet. {where_to_get_it(root, manual)}")
        manual = root
    make_folder(root)
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual))
    except OSError:
        # Another process, such as another worker of the same run, may have prepared the set first.
        if not builder.is_prepared():
            raise


def _pairs(builder, split, cache_dir):
    """The pairs of a split. The places of the pictures in the files are listed once and kept in the cache."""
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
    """Reads all records once and finds the bytes of each picture. A record contains the bytes of the PNG files.

    Yields:
        [sequence, frame, place of the blurred picture, place of the sharp picture]. A place is [index of the file,
        position of the first byte, number of bytes, (width, height)].
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
