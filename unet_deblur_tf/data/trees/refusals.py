"""What is refused about the pictures of a tree, in words that say what was found and what would do."""

import collections

from unet_deblur_tf.data.pairs import evenly_spaced
from unet_deblur_tf.data.pictures import PICTURE_SUFFIXES
from unet_deblur_tf.data.trees.layouts import words_of
from unet_deblur_tf.data.trees.splits import Splits, unclear_splits
from unet_deblur_tf.errors import InputError

SPLIT_ORDER = ("train", "val", "test", "")
ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"}


def require_split_of_all(root, splits, first):
    """Raises an InputError if some pairs are in a split and others are not; `first` is the path of one of these."""
    if splits.get("") and len(splits) > 1:
        others = " and ".join(split for split in SPLIT_ORDER if split and split in splits)
        raise InputError(
            f"{root} has {counts(splits)}: those without a split, such as {relative(root, first)}, could be of any. "
            f"Move them below a folder train/, val/ or test/, or elsewhere; others are in {others}"
        )


def require_clear_splits(root, paths, advice=""):
    """Raises an InputError if names have words for splits in a way that does not tell whether they mean them.

    Args:
        root: `Path`.
        paths: list of `PurePath` of pictures of which no folder names a split.
        advice: str, what else would do, for the end of the message.
    """
    if unclear := unclear_splits(paths, root):
        raise InputError(
            f"It is not clear what is for training in {root}: {' and '.join(unclear)} have words for splits, but the "
            f"rest of their names differs. Move the pictures to folders such as train/ and test/{advice}"
        )


def require_pairs_of_all_splits(root, layout, splits, unused, names):
    """Raises an InputError if a split has no pairs, but pictures that look like those of pairs by their names.

    These are sharp ones, or ones without a side that are called like blurred ones. Blurred pictures alone are as in
    REDS.

    Args:
        root: `Path`.
        layout: str, its name.
        splits: dict from splits to pairs.
        unused: list of paths of pictures that belong to no pair.
        names: `layouts.Names`.
    """
    finder, missing = Splits(unused, root, (names.blur, names.sharp)), {}
    for path in unused:
        if (split := finder.of(path)) not in ("", *splits):
            sides = {names.side(part)[0] for part in path.relative_to(root).parent.parts}
            missing.setdefault(split, []).append((path, sides))
    for split, found in missing.items():
        blurred = {path.stem for path, sides in found if "blurred" in sides}
        for path, sides in found:
            bare = not sides - {None} and not {"sharp", "blur"} & {*words_of(path.parent.name)}
            named_sharp = any(names.side(word) == ("sharp", False) for word in words_of(path.stem)[-1:])
            if "sharp" in sides or (bare and path.stem in blurred) or named_sharp:
                raise InputError(
                    f"{root} has {counts(splits)} ({layout}), and {split} pictures that are in no pair, such as "
                    f"{relative(root, path)}. Name them as the others are, in folders or lists, or move them elsewhere"
                )


def require_lists_understood(root, lists, pairs):
    """Raises an InputError if nothing says which pairs are of which split but `Lists` that were not understood."""
    reasons = [f"{path.relative_to(root).as_posix()} is not understood" for path in lists.unread] + lists.notes
    if reasons and not any(pair.split for pair in pairs):
        raise InputError(
            f"{root} has {len(pairs)} pairs, and a list that may say which of them are of which split, but "
            f"{reasons[0]}. A line should name a blurred and a sharp picture, such as blur/1.png sharp/1.png. "
            "Or move it elsewhere"
        )


def refuse_without_pictures(root):
    """Raises an InputError that says what there is instead of pictures."""
    endings = collections.Counter(path.suffix.lower() for path in root.rglob("*") if path.is_file())
    there = ", ".join(f"{count} {ending or 'without ending'}" for ending, count in endings.most_common(4)) or "no files"
    kinds = ", ".join(sorted(PICTURE_SUFFIXES))
    unpack = ". Unpack archives first" if ARCHIVES & endings.keys() else ""
    raise InputError(
        f"No pictures in {str(root)!r}, nor below; there are {there}. Pairs and photos are read from {kinds}{unpack}"
    )


def refuse(root, paths, reason, *folders):
    """Raises an InputError that shows a tree and says what would do.

    Args:
        root, paths: what was found.
        reason: str.
        folders: the two that may be the sides, for the flags; none where it is not clear which.
    """
    by_folder = collections.Counter(path.parent for path in paths)
    lines = [f"  {relative(root, folder)}/  {count} pictures" for folder, count in list(by_folder.items())[:10]]
    if len(by_folder) > 10:
        lines.append(f"  and {len(by_folder) - 10} more folders")
    lines.append(f"  such as {', '.join(relative(root, path) for path in evenly_spaced(paths, 3))}")
    blur, sharp = (folder.name for folder in folders) if folders else ("NAME", "NAME")
    raise InputError(
        f"It is not clear what {root} holds: {reason}.\n"
        + "\n".join(lines)
        + "\nFor sharp photos to be blurred by synthesis: --as photos\n"
        + f"For pairs, name the folders of the blurred and the sharp pictures: --blur {blur} --sharp {sharp} "
        "(blur/ and sharp/, input/ and target/ and the like need no flag)"
    )


def counts(splits, what="pairs"):
    """Such as "10 train and 4 test pairs"."""
    parts = [f"{len(splits[split])} {split}".strip() for split in SPLIT_ORDER if splits.get(split)]
    return f"{' and '.join(parts)} {what}"


def relative(root, path):
    """A path below a folder, for people."""
    return path.relative_to(root).as_posix()
