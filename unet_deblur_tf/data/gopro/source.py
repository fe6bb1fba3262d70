"""Reads the official GoPro set as downloaded: `GOPRO_Large.zip`, or the folder that it unpacks to."""

import io
import zipfile
import zlib
from pathlib import Path, PurePath

from PIL import Image

from unet_deblur_tf.data.pairs import Pair
from unet_deblur_tf.data.pictures import find_pictures, is_picture
from unet_deblur_tf.data.trees.matching import match_tree
from unet_deblur_tf.data.trees.tree import by_split
from unet_deblur_tf.errors import InputError

NAME = "GOPRO_Large"
HOMEPAGE = "https://seungjunnah.github.io/Datasets/gopro"
OFFICIAL_COUNTS = {"train": 2103, "test": 1111}  # pairs
LAYOUT = "{train,test}/SEQUENCE/{blur,blur_gamma,sharp}/FRAME.png"
# Whole recordings of the training split that are held out for validation: 260 pairs.
VALIDATION_SEQUENCES = ("GOPR0379_11_00", "GOPR0380_11_00", "GOPR0857_11_00")


class Folder:
    """The unpacked set.

    Args:
        root: the folder that contains `train/` and `test/`.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)

    def pictures(self) -> list[Path]:
        """Returns the paths of all pictures."""
        return find_pictures(self.root, recursive=True)

    def read(self, path: Path) -> bytes:
        """Reads the bytes of a picture file.

        Raises:
            InputError: if it cannot be read.
        """
        try:
            return path.read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error


class Archive:
    """The zip file, which is read without unpacking it.

    Args:
        path: path of the zip file.

    Raises:
        InputError: if it is damaged or incomplete.
    """

    def __init__(self, path: str | Path):
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

    def pictures(self) -> list[PurePath]:
        """Returns the paths of all pictures, as if the zip file were a folder."""
        return [self.path / name for name in self._pictures]

    def read(self, path: PurePath) -> bytes:
        """Reads the bytes of a picture file and checks them against the checksum in the archive.

        Raises:
            InputError: if the file is damaged.
        """
        try:
            return self.zip.read(path.relative_to(self.path).as_posix())
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
            raise InputError(f"{path} cannot be read: {error}. Fetch the archive again from {HOMEPAGE}") from error


def find_source(*folders: str | Path) -> Archive | Folder | None:
    """Finds the set in the first of the folders that contains it.

    A folder contains `GOPRO_Large.zip`, `GOPRO_Large/`, or `train/` and `test/` themselves.

    Returns:
        An `Archive` or a `Folder`; None if no folder contains the set.
    """
    for folder in map(Path, folders):
        # The archive comes first, because the folder next to it can be half unpacked.
        if (folder / f"{NAME}.zip").exists():
            return Archive(folder / f"{NAME}.zip")
        if (folder / NAME).is_dir():
            return Folder(folder / NAME)
        if (folder / "train").is_dir() or (folder / "test").is_dir():
            return Folder(folder)
    return None


def where_to_get_it(*folders: str | Path) -> str:
    """Tells the user where to download the set and in which of the folders to put it."""
    places = " or ".join(str(folder) for folder in folders)
    return (
        f"Download {NAME}.zip (9 GB) from {HOMEPAGE} and put it, or the folder {NAME}/ that it unpacks to, in {places}"
    )


def official_pairs(source: Archive | Folder, blur: str) -> dict[str, list[Pair]]:
    """Finds the pairs of the two official splits.

    Args:
        source: an `Archive` or a `Folder`.
        blur: name of the folders of blurred pictures, "blur" or "blur_gamma".

    Returns:
        {"train": list of `Pair`, "test": list of `Pair`}. `source.read` reads their pictures.

    Raises:
        InputError: if the layout is different, a picture of a pair is missing, or a split has no pairs.
    """
    paths = [path for path in source.pictures() if path.parent.name in (blur, "sharp")]
    match = match_tree(paths, source.root, blur, "sharp") if paths else None
    splits = by_split(match.pairs) if match else {}
    for split in OFFICIAL_COUNTS:
        if not splits.get(split):
            raise InputError(f"{source.root} has no pairs in {split}/: expected is {LAYOUT}")
    return {split: splits[split] for split in OFFICIAL_COUNTS}


def what_is_missing(counts: dict[str, int]) -> str:
    """Tells the user if the numbers of pairs are not the official ones.

    Args:
        counts: {"train": number of pairs, "test": number of pairs}.

    Returns:
        The message; "" if the set is complete.
    """
    if counts == OFFICIAL_COUNTS:
        return ""
    found = ", ".join(f"{counts[split]} of {official} {split} pairs" for split, official in OFFICIAL_COUNTS.items())
    return f"This is not the whole GoPro set: {found}. Scores cannot be compared with published ones"


def read_png(source: Archive | Folder, path) -> tuple[bytes, tuple[int, int]]:
    """Reads a PNG file and verifies the checksums inside it.

    Args:
        source: an `Archive` or a `Folder`.
        path: path of the file, from `source.pictures()`.

    Returns:
        (bytes of the file, (width, height)).

    Raises:
        InputError: if the file is damaged or not a PNG file; it names the file.
    """
    data = source.read(path)
    try:
        picture = Image.open(io.BytesIO(data), formats=["PNG"])
        size = picture.size
        picture.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is no intact PNG file: {error}") from error
    return data, size
