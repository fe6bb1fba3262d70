"""The official GoPro set as it was downloaded: `GOPRO_Large.zip`, or the folder it unpacks to."""

import io
import zipfile
import zlib
from pathlib import Path, PurePath

from PIL import Image

from unet_deblur_tf.data.pictures import find_pictures, is_picture
from unet_deblur_tf.data.trees.layouts import match_tree
from unet_deblur_tf.data.trees.tree import by_split
from unet_deblur_tf.errors import InputError

NAME = "GOPRO_Large"
HOMEPAGE = "https://seungjunnah.github.io/Datasets/gopro"
OFFICIAL_COUNTS = {"train": 2103, "test": 1111}
LAYOUT = "{train,test}/SEQUENCE/{blur,blur_gamma,sharp}/FRAME.png"
# Whole recordings of the training part, no other part of which is trained on: 260 pairs.
VALIDATION_SEQUENCES = ("GOPR0379_11_00", "GOPR0380_11_00", "GOPR0857_11_00")


class Folder:
    """The unpacked tree."""

    def __init__(self, root):
        self.root = Path(root)

    def pictures(self):
        """The paths of all pictures."""
        return find_pictures(self.root, recursive=True)

    def read(self, path):
        """The bytes of one of them."""
        try:
            return path.read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error


class Archive:
    """The zip file, read without unpacking it."""

    def __init__(self, path):
        self.path = PurePath(path)
        try:
            self.zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise InputError(
                f"{path} is no complete zip file ({error}): the download was cut short? Fetch it again from {HOMEPAGE}"
            ) from error
        names = map(PurePath, self.zip.namelist())
        self._pictures = [name for name in names if is_picture(name) and "__MACOSX" not in name.parts]
        tops = {name.parts[0] for name in self._pictures}
        self.root = self.path / tops.pop() if tops == {NAME} else self.path

    def pictures(self):
        """Their paths, as if the zip file were a folder."""
        return [self.path / name for name in self._pictures]

    def read(self, path):
        """The bytes of one of them, checked against the checksum in the archive."""
        try:
            return self.zip.read(path.relative_to(self.path).as_posix())
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
            raise InputError(f"{path} cannot be read: {error}. Fetch the archive again from {HOMEPAGE}") from error


def find_source(*folders):
    """The first `GOPRO_Large.zip`, `GOPRO_Large/` or bare {train,test}/ in one of the folders, or None."""
    for folder in map(Path, folders):
        # The archive first: a folder beside it may be half unpacked.
        if (folder / f"{NAME}.zip").exists():
            return Archive(folder / f"{NAME}.zip")
        if (folder / NAME).is_dir():
            return Folder(folder / NAME)
        if (folder / "train").is_dir() or (folder / "test").is_dir():
            return Folder(folder)
    return None


def where_to_get_it(*folders):
    """A sentence for those who do not have it."""
    places = " or ".join(str(folder) for folder in folders)
    return (
        f"Download {NAME}.zip (9 GB) from {HOMEPAGE} and put it, or the folder {NAME}/ that it unpacks to, in {places}"
    )


def official_pairs(source, blur):
    """The pairs of the two official splits.

    Returns:
        {"train": list of `Pair`, "test": list of `Pair`}; their paths are for `source.read`.

    Raises:
        InputError: if the layout is another one, a twin is missing, or there are no pairs of a split.
    """
    paths = [path for path in source.pictures() if path.parent.name in (blur, "sharp")]
    match = match_tree(paths, source.root, blur, "sharp") if paths else None
    splits = by_split(match.pairs) if match else {}
    for split in OFFICIAL_COUNTS:
        if not splits.get(split):
            raise InputError(f"{source.root} has no pairs in {split}/: expected is {LAYOUT}")
    return {split: splits[split] for split in OFFICIAL_COUNTS}


def what_is_missing(counts):
    """A sentence about a set with other than the official counts, "" for a whole one.

    Args:
        counts: {"train": n, "test": n}.
    """
    if counts == OFFICIAL_COUNTS:
        return ""
    found = ", ".join(f"{counts[split]} of {official} {split} pairs" for split, official in OFFICIAL_COUNTS.items())
    return f"This is not the whole GoPro set: {found}. Scores cannot be compared with published ones"


def read_png(source, path):
    """The bytes of a PNG file, found to be undamaged by the checksums inside it, and (width, height).

    Raises:
        InputError: naming the file, if it is damaged or something else.
    """
    data = source.read(path)
    try:
        picture = Image.open(io.BytesIO(data), formats=["PNG"])
        size = picture.size
        picture.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is no intact PNG file: {error}") from error
    return data, size
