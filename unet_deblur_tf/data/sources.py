"""Opens what `--data` names: `open_source` turns a name or a folder into a source of pairs, by split."""

import dataclasses
import functools
from pathlib import Path

from unet_deblur_tf.configs import DIFFICULTIES
from unet_deblur_tf.data.frames import FramePairs, open_frames
from unet_deblur_tf.data.gopro.source import NAME, VALIDATION_SEQUENCES
from unet_deblur_tf.data.pairs import Pair, by_sequence, choose_split
from unet_deblur_tf.data.pictures import find_pictures
from unet_deblur_tf.data.store import PictureStore
from unet_deblur_tf.data.synthesis import generated
from unet_deblur_tf.data.trees.refusals import counts
from unet_deblur_tf.data.trees.standard_sets import SETS, find_folder, open_standard_set
from unet_deblur_tf.data.trees.tree import read_tree
from unet_deblur_tf.errors import InputError

ACCEPTED = f"'synthetic', 'frames', a set ({', '.join(SETS)}), a folder of pairs, or a folder of sharp photos"


def open_source(
    data: str | Path,
    blur: str | None = None,
    difficulty: str = "quick",
    cache_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    sharp: str | None = None,
    kind: str | None = None,
) -> "RealPairs | SynthesisedPairs | FramePairs":
    """Opens a data set. A folder is searched once.

    Args:
        data: one of these:
            - "synthetic", for scenes made in code;
            - a key of `standard_sets.SETS`, for a published set. "gopro" is read through TFDS, unless its pictures are
              in `data_dir` in another layout;
            - "frames", for averages of the frames in `data_dir`, see `frames`;
            - a folder of pairs, or of sharp photos, which are blurred by the synthesis (see `tree.read_tree`).
        blur, sharp: names of the folders of blurred and sharp pictures; None for the usual names.
        difficulty: key of `configs.DIFFICULTIES`, for synthesised pairs.
        cache_dir: folder for pairs and frames that are made here; None for the user's cache folder.
        data_dir: for "gopro", the folder of TFDS; for another published set, the folder that contains it; for "frames",
            the folder of frames or videos.
        kind: what the folder `data` contains: "pairs", "photos" or "side-by-side"; None to recognise it.

    Returns:
        A `RealPairs`, a `SynthesisedPairs` or a `FramePairs`.

    Raises:
        InputError: if there is no such data, or it is not clear what a folder contains.
    """
    if data == "synthetic":
        return SynthesisedPairs("scenes made in code", difficulty, cache_dir)
    if data in SETS and (data != "gopro" or lies_otherwise(data_dir)):
        return RealPairs(data, *open_standard_set(data, data_dir, blur, sharp))
    if data == "gopro":
        # Imported here, because TFDS takes long to import.
        from unet_deblur_tf.data.gopro.prepared import load_gopro

        splits = load_gopro(blur or "blur", data_dir, cache_dir)
        return RealPairs(data, splits, f"GoPro's official set ({blur or 'blur'}): {counts(splits)}")
    if data == "frames":
        if data_dir is None or not Path(data_dir).is_dir():
            raise InputError("--data frames needs --data-dir DIR, a folder of folders of frames, or of videos")
        return open_frames(Path(data_dir), blur, cache_dir)
    root = Path(data)
    if not root.is_dir():
        raise InputError(f"No such folder: {str(data)!r}. --data takes {ACCEPTED}")
    tree = read_tree(root, kind, blur, sharp)
    if tree.photos:
        return SynthesisedPairs(root, difficulty, cache_dir, tree.splits, tree.summary)
    return RealPairs(root, tree.splits, tree.summary)


def lies_otherwise(data_dir: str | Path | None) -> bool:
    """Whether a folder contains GoPro in a layout other than that of its authors and that of TFDS."""
    if data_dir is None or not Path(data_dir).is_dir():
        return False
    root = Path(data_dir)
    prepared = any(root.glob("gopro/*/*/dataset_info.json"))
    if prepared or (root / f"{NAME}.zip").exists() or (root / NAME).is_dir():
        return False
    try:
        return find_folder(root, SETS["gopro"]) != root
    except InputError:
        return False


def load_pairs(data: str | Path, split: str, *options, **keywords) -> list[Pair]:
    """Opens a data set and returns the pairs of one split: `open_source(data, ...).pairs(split)`."""
    return open_source(data, *options, **keywords).pairs(split)


class Source:
    """A source of pairs. Its methods decide what a cache keeps of the training pairs, see `store`."""

    pictures_per_pair = 1  # number of cached items that make one pair

    def kept(self, pairs: list[Pair]) -> list:
        """Returns the items that a cache keeps for these training pairs: here, the pairs themselves."""
        return pairs

    def training_store(self, kept: PictureStore, pairs: list[Pair]) -> PictureStore:
        """Returns the store to train on.

        Args:
            kept: `PictureStore` of the items that the method `kept` returned.
            pairs: list of `Pair`, the training pairs.
        """
        return kept


@dataclasses.dataclass(frozen=True)
class RealPairs(Source):
    """Pairs of existing pictures.

    Attributes:
        root: the folder, or the name of the set, for messages.
        splits: dict from "train", "val", "test" or "" (no split given) to a list of `Pair`.
        summary: str, one line that describes the pairs.
    """

    root: str | Path
    splits: dict[str, list[Pair]]
    summary: str
    synthesised = False

    def pairs(self, split: str) -> list[Pair]:
        """Returns the pairs of one split.

        Args:
            split: "train", "val", "test" or "all". If the data does not name a split, it is held out of the training
                pairs: GoPro's `VALIDATION_SEQUENCES` if they are among them, else as `pairs.hold_out` does it.

        Returns:
            List of `Pair`, never empty.

        Raises:
            InputError: if the split is empty.
        """
        advice = "evaluate --split all scores all of them"
        return choose_split(self._with_validation, split, by_sequence, self.root, advice)

    @functools.cached_property
    def _with_validation(self):
        """The splits; if there is no "val", GoPro's `VALIDATION_SEQUENCES` are moved to it."""
        train = self.splits.get("train", [])
        validation = [pair for pair in train if pair.sequence in VALIDATION_SEQUENCES]
        if "val" in self.splits or not 0 < len(validation) < len(train):
            return self.splits
        rest = [pair for pair in train if pair.sequence not in VALIDATION_SEQUENCES]
        return {**self.splits, "train": rest, "val": validation}


@dataclasses.dataclass(frozen=True)
class SynthesisedPairs(Source):
    """Pairs that the package makes by blurring: scenes made in code, or sharp photos.

    Attributes:
        root: the folder of photos, or "scenes made in code", for messages.
        difficulty: str, key of `configs.DIFFICULTIES`.
        cache_dir: folder for the pairs; None for the user's cache folder.
        photos: dict from split to a list of `Path`, as `tree.read_tree` returns it; None for scenes made in code.
        found: str, description of the sharp pictures, for `summary`.
    """

    root: str | Path
    difficulty: str
    cache_dir: str | Path | None = None
    photos: dict[str, list[Path]] | None = None
    found: str = "scenes made in code"
    synthesised = True

    @property
    def summary(self) -> str:
        """One line that describes the pairs."""
        return f"{self.found}; blurred here by synthesis, difficulty {self.difficulty}"

    def pairs(self, split: str) -> list[Pair]:
        """Makes the pairs of one split, or finds them in the cache.

        Each photo belongs to one split. Each training photo is used at least once.

        Args:
            split: "train", "val" or "test".

        Returns:
            List of `Pair`, never empty.

        Raises:
            InputError: if `split` is "all", or if there are no photos for the split.
        """
        if split == "all":
            raise InputError("--split all is for folders of pairs; synthesised ones have train, val and test")
        photos = []
        if self.photos is not None:
            photos = choose_split(self.photos, split, lambda _: self._name, self.root)
        settings = DIFFICULTIES[self.difficulty]
        settings = settings.with_training_pairs(max(settings.scenes["train"], len(photos)))
        folder = generated.make_split(split, settings, photos, cache_dir=self.cache_dir)
        return [Pair("", path.stem, folder / "blur" / path.name, path) for path in find_pictures(folder / "sharp")]

    def _name(self, path):
        """The path of a photo below the folder."""
        return path.relative_to(self.root).as_posix()
