"""What `--data` means: one function from a word or a folder to a source of pairs, by split."""

import dataclasses
import functools
from pathlib import Path

from unet_deblur_tf.configs import DIFFICULTIES
from unet_deblur_tf.data.frames import open_frames
from unet_deblur_tf.data.gopro.source import NAME, VALIDATION_SEQUENCES
from unet_deblur_tf.data.pairs import Pair, by_sequence, choose_split
from unet_deblur_tf.data.pictures import find_pictures
from unet_deblur_tf.data.synthesis import generated
from unet_deblur_tf.data.trees.standard_sets import SETS, find_folder, open_standard_set
from unet_deblur_tf.data.trees.tree import counts, read_tree
from unet_deblur_tf.errors import InputError

ACCEPTED = f"'synthetic', 'frames', a set ({', '.join(SETS)}), a folder of pairs, or a folder of sharp photos"


def open_source(data, blur=None, difficulty="quick", cache_dir=None, data_dir=None, sharp=None, kind=None):
    """Finds out what data there is; looks through a folder once.

    Args:
        data: "synthetic" for scenes made in code; "gopro" for that set, through TFDS unless its pictures lie in
            `data_dir` in another layout; another of `standard_sets.SETS`; "frames" for means of frames, see `frames`;
            a folder of pairs, or of sharp photos that are blurred by the same synthesis, see `tree.read_tree`.
        blur, sharp: names of the folders of blurred and sharp pictures; None for the usual ones.
        difficulty: key of `DIFFICULTIES`, for synthesised pairs.
        cache_dir: where synthesised pairs are kept, the user's cache folder by default.
        data_dir: for "gopro", the folder of TFDS; for a set, the folder that it lies in.
        kind: what a folder holds: "pairs", "photos" or "side-by-side"; None to find out.

    Returns:
        A `RealPairs`, a `SynthesisedPairs` or a `frames.FramePairs`.

    Raises:
        InputError: if there is nothing usable, naming what was received, or a folder is not understood.
    """
    if data == "synthetic":
        return SynthesisedPairs("scenes made in code", difficulty, cache_dir)
    if data in SETS and (data != "gopro" or lies_otherwise(data_dir)):
        return RealPairs(data, *open_standard_set(data, data_dir, blur, sharp))
    if data == "gopro":
        # Only here: importing TFDS takes its time.
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


def lies_otherwise(data_dir):
    """Whether GoPro lies in a folder, but neither as its authors have it nor as TFDS prepared it."""
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


def load_pairs(data, split, *options, **keywords):
    """`open_source(data, ...).pairs(split)`."""
    return open_source(data, *options, **keywords).pairs(split)


class Source:
    """What the sources have in common: how their training pairs are kept, see `store`."""

    pictures_per_pair = 1  # that are kept, to make one

    def kept(self, pairs):
        """What a cache keeps for these training pairs: the pairs."""
        return pairs

    def training_store(self, kept, pairs):
        """The `PictureStore` to train on, from a store of what `kept` gave."""
        return kept


@dataclasses.dataclass(frozen=True)
class RealPairs(Source):
    """Pairs that are there as pictures.

    Attributes:
        root: the folder or the set's name, for messages.
        splits: dict from "train", "val", "test" or "" (no split named) to a list of `Pair`.
        summary: str, one line that says what the pairs are.
    """

    root: str | Path
    splits: dict
    summary: str
    synthesised = False

    def pairs(self, split):
        """The pairs of one split.

        Args:
            split: "train", "val", "test" or "all". A split that is not there by name is held out of the training
                pairs: GoPro's `VALIDATION_SEQUENCES` where they are, others by name (`pairs.hold_out`).

        Returns:
            A list of `Pair`, never empty.

        Raises:
            InputError: if the split is empty.
        """
        return choose_split(self._with_validation, split, by_sequence, self.root)

    @functools.cached_property
    def _with_validation(self):
        train = self.splits.get("train", [])
        named = [pair for pair in train if pair.sequence in VALIDATION_SEQUENCES]
        if "val" in self.splits or not 0 < len(named) < len(train):
            return self.splits
        rest = [pair for pair in train if pair.sequence not in VALIDATION_SEQUENCES]
        return {**self.splits, "train": rest, "val": named}


@dataclasses.dataclass(frozen=True)
class SynthesisedPairs(Source):
    """Scenes made in code, or sharp photos, that are blurred here.

    Attributes:
        root: the folder or "scenes made in code", for messages.
        difficulty: str, key of `DIFFICULTIES`.
        cache_dir: where the pairs are kept, the user's cache folder by default.
        photos: dict from split to a list of `Path`, as `tree.read_tree` finds them; None for scenes.
        found: str, what was found, for `summary`.
    """

    root: str | Path
    difficulty: str
    cache_dir: str | Path | None = None
    photos: dict | None = None
    found: str = "scenes made in code"
    synthesised = True

    @property
    def summary(self):
        """One line that says what the pairs are."""
        return f"{self.found}; blurred here by synthesis, difficulty {self.difficulty}"

    def pairs(self, split):
        """The pairs of one split; each photo is in one split only, those to train on are used at least once.

        Args:
            split: "train", "val" or "test".

        Returns:
            A list of `Pair`, never empty.

        Raises:
            InputError: for "all", or if there are no photos for the split.
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
        return path.relative_to(self.root).as_posix()
