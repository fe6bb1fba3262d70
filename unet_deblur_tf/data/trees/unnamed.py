"""Whether pictures that no name calls blurred or sharp could still be pairs: then they are not taken for photos."""

import collections
import itertools

from unet_deblur_tf.data.trees.layouts import Names, words_of
from unet_deblur_tf.data.trees.looks import first_of_two_halves
from unet_deblur_tf.data.trees.refusals import refuse, relative
from unet_deblur_tf.data.trees.splits import Splits

GIVEN = 3  # of the folders in the given path, how many are looked at
MANY = 20  # folders with the same file name
BLURRED_WITHOUT_THE_WORD = {"lq", "out_of_focus"}


def refuse_what_could_be_pairs(root, paths):
    """Raises an InputError if pictures without a word for blurred or sharp still look like pairs."""
    given = root.resolve().parts[-GIVEN:]
    for part in given:
        side, weak = Names().side(part)
        if (side in ("blurred", "on request") and not weak) or (part is given[-1] and means_blurred(part)):
            refuse(root, paths, f"{part!r} in its path means blurred: name a folder above it, with the sharp pictures")
    for path in paths:
        for part in (*path.relative_to(root).parent.parts, path.stem):
            if means_blurred(part):
                refuse(root, paths, f"{part!r}, as in {relative(root, path)}, means blurred")
    if twins := parallel_folders(root, paths):
        one, other = (relative(root, folder) for folder in twins)
        if twins[0].name != twins[1].name and len({path.parent for path in paths}) == 2:
            refuse(root, paths, f"{one} and {other} hold pictures of the same names, as pairs do", *twins)
        refuse(root, paths, f"{one} and {other} hold pictures of the same names, as pairs do, and as albums may")
    if twins := names_but_for_a_word(paths):
        one, other = (relative(root, path) for path in twins)
        refuse(root, paths, f"{one} and {other} are called the same but for a word, as pairs are")
    if half := first_of_two_halves(paths):
        refuse(root, paths, f"{relative(root, half)} shows one scene twice, side by side: --as side-by-side takes that")


def means_blurred(name):
    """Whether a name has a word such as blur, blurry or defocused anywhere in it; deblurred is none."""
    words = words_of(name)
    blurred = any(("blur" in word or "defocus" in word) and "deblur" not in word for word in words)
    return blurred or "_".join(words) in BLURRED_WITHOUT_THE_WORD


def without_word(stem, place):
    """The words of a file's name as a tuple, without the first (0) or the last one (-1), if others are left."""
    words = words_of(stem)
    if len(words) > 1 and not words[place].isdigit():
        del words[place]
    return tuple(words)


def names_but_for_a_word(paths):
    """Two pictures of one folder that are called the same but for a word at one end, if half of all are; or None."""
    for place in (-1, 0):
        groups = collections.defaultdict(list)
        for path in paths:
            groups[path.parent, without_word(path.stem, place)].append(path)
        twins = [group for group in groups.values() if len(group) > 1]
        if twins and 2 * sum(map(len, twins)) >= len(paths):
            return twins[0][:2]
    return None


def parallel_folders(root, paths):
    """Two folders of which one has at least half of its file names in common with the other, or None.

    Where names do not agree as they are, they do without a word at one end that all in their folder have: 1_A.jpg.
    """
    finder = Splits(paths, root)
    bare = {path.parent: tuple(part for _, part in finder.without(path)) for path in paths}
    return next(filter(None, (_parallel(bare, names) for names in _namings(paths))), None)


def _namings(paths):
    """Yields dicts from folders to the names of their pictures: as they are, without the first, and the last word."""
    yield _by_folder((path.parent, path.stem) for path in paths)
    for place in (0, -1):
        ends = _by_folder((path.parent, (words_of(path.stem) or [""])[place]) for path in paths)
        alike = {folder for folder, words in ends.items() if len(words) == 1}
        yield _by_folder((path.parent, without_word(path.stem, place)) for path in paths if path.parent in alike)


def _by_folder(items):
    """A dict from folders to sets of what (folder, item) pairs them with."""
    found = collections.defaultdict(dict)
    for folder, item in items:
        found[folder][item] = None
    return {folder: found[folder].keys() for folder in found}


def _parallel(bare, names):
    """Two folders with names in common, see `parallel_folders`; `bare` has the folders' own names without a split."""
    places = collections.defaultdict(list)
    for folder, some in names.items():
        for name in some:
            places[name].append(folder)
    for folders in places.values():
        # A name that many albums have says little, and comparing all of these with each other takes long.
        pairs = itertools.combinations(folders, 2) if len(folders) <= MANY else itertools.pairwise(folders)
        for one, other in pairs:
            common = 2 * len(names[one] & names[other])
            if common >= min(len(names[one]), len(names[other])) and bare[one] != bare[other]:
                return one, other
    return None
