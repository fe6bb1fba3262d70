"""What `--data` means: one function from a word or a folder to lists of pairs."""

from pathlib import Path

from unet_deblur_tf.data import generated
from unet_deblur_tf.data.gopro.source import VALIDATION_SEQUENCES
from unet_deblur_tf.data.pairs import SPLITS, by_sequence, choose_split, find_pairs, find_pictures
from unet_deblur_tf.data.synthesis import DIFFICULTIES
from unet_deblur_tf.errors import InputError

ACCEPTED = (
    "'synthetic', 'gopro', a folder of pairs ({blur,sharp}/ or {train,test}/SEQUENCE/{blur,sharp}/), "
    "or a folder of sharp photos"
)


def load_pairs(data, split, blur="blur", difficulty="quick", cache_dir=None, data_dir=None):
    """The pairs of one split.

    Args:
        data: "synthetic" for scenes made in code; "gopro" for that set, through TFDS; a
            folder of pairs; or a folder of sharp photos, blurred by the same synthesis, those
            to train on at least once each.
        split: "train", "val", "test", or "all" for pairs as a whole. A split that is
            not there by name is held out of the training pairs: GoPro's
            `VALIDATION_SEQUENCES` where they are, others by name (`pairs.hold_out`);
            photos likewise, so that no photo is in two splits.
        blur: name of the blurred folder of each sequence.
        difficulty: key of `DIFFICULTIES`, for synthesised pairs.
        cache_dir: where synthesised pairs are kept, the user's cache folder by default.
        data_dir: for "gopro", the folder of TFDS.

    Returns:
        A list of `Pair`, never empty.

    Raises:
        InputError: if there is nothing usable, naming what was received.
    """
    if data == "synthetic":
        return _synthesise(split, difficulty, [], cache_dir)
    if data == "gopro":
        # Only here: importing TFDS takes its time.
        from unet_deblur_tf.data.gopro.prepared import load_gopro

        return _choose_pairs(load_gopro(blur, data_dir, cache_dir), split, data)
    root = Path(data)
    if not root.is_dir():
        raise InputError(f"No such folder: {data!r}. --data takes {ACCEPTED}")
    if paired := find_pairs(root, blur):
        return _choose_pairs(paired, split, root)
    return _synthesise(split, difficulty, _find_photos(root, split), cache_dir)


def is_synthesised(data, blur="blur"):
    """Whether `load_pairs` blurs scenes or photos itself, so that `difficulty` counts."""
    return data == "synthetic" or (data != "gopro" and not find_pairs(Path(data), blur))


def _choose_pairs(splits, split, root):
    train, named = splits.get("train", []), [pair for pair in splits.get("train", []) if _is_validation(pair)]
    if "val" not in splits and 0 < len(named) < len(train):
        splits = {**splits, "train": [pair for pair in train if not _is_validation(pair)], "val": named}
    return choose_split(splits, split, by_sequence, root)


def _is_validation(pair):
    return pair.sequence in VALIDATION_SEQUENCES


def _find_photos(root, split):
    by_split = {name: find_pictures(root / name, recursive=True) for name in SPLITS if (root / name).is_dir()}
    by_split = {name: found for name, found in by_split.items() if found}
    by_split = by_split or {"": find_pictures(root, recursive=True)}
    if not any(by_split.values()):
        raise InputError(f"No pictures in {str(root)!r}. --data takes {ACCEPTED}")
    return choose_split(by_split, split, lambda _: lambda path: path.relative_to(root).as_posix(), root)


def _synthesise(split, difficulty, photos, cache_dir):
    if split == "all":
        raise InputError("--split all is for folders of pairs; synthesised ones have train, val and test")
    settings = DIFFICULTIES[difficulty]
    settings = settings.with_training_pairs(max(settings.scenes["train"], len(photos)))
    folder = generated.make_split(split, settings, photos, cache_dir=cache_dir)
    return find_pairs(folder)[""]
