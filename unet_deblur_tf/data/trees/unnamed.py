"""Whether pictures that no name calls blurred or sharp could still be pairs: then they are not taken for photos."""

import collections
import itertools

from unet_deblur_tf.data.trees.layouts import Names, words_of
from unet_deblur_tf.data.trees.looks import first_of_two_halves, may_show_the_same
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
        refuse_folders(root, paths, *twins)
    if twins := names_but_for_a_word(paths, -1):
        one, other = (relative(root, path) for path in twins[0])
        refuse(root, paths, f"{one} and {other} are called the same but for a word, as pairs are")
    # Two cameras number their photos alike, too: IMG_0001.jpg and DSC_0001.jpg. So look at them.
    for twins in (names_but_for_a_word(paths, 0), parallel_but_for_a_word(root, paths)):
        if twins and may_show_the_same(twins):
            one, other = twins[0]
            if one.parent != other.parent:
                refuse_folders(root, paths, one.parent, other.parent)
            names = f"{relative(root, one)} and {relative(root, other)}"
            refuse(root, paths, f"{names} are called the same but for a word, as pairs are")
    if half := first_of_two_halves(paths):
        refuse(root, paths, f"{relative(root, half)} shows one scene twice, side by side: --as side-by-side takes that")


def refuse_folders(root, paths, one, other):
    """Raises an InputError about two folders with pictures of the same names."""
    reason = f"{relative(root, one)} and {relative(root, other)} hold pictures of the same names, as pairs do"
    if one.name != other.name and len({path.parent for path in paths}) == 2:
        refuse(root, paths, reason, one, other)
    refuse(root, paths, f"{reason}, and as albums may")


def means_blurred(name):
    """Whether a name has a word such as blur, blurry or defocused anywhere in it; deblurred is none."""
    words = words_of(name)
    blurred = any(("blur" in word or "defocus" in word) and "deblur" not in word for word in words)
    return blurred or "_".join(words) in BLURRED_WITHOUT_THE_WORD


def without_word(stem, place):
    """The words of a file's name as a tuple, without the first (0) or the last one (-1), unless it is a number."""
    words = words_of(stem)
    if len(words) > 1 and not words[place].isdigit():
        del words[place]
    return tuple(words)


def names_but_for_a_word(paths, place):
    """Twins of one folder that are called the same but for their first or last word, if half of all pictures are.

    Returns:
        List of two paths each, empty if there are fewer.
    """
    groups = collections.defaultdict(list)
    for path in paths:
        groups[path.parent, without_word(path.stem, place)].append(path)
    twins = [group for group in groups.values() if len(group) > 1]
    return [group[:2] for group in twins] if 2 * sum(map(len, twins)) >= len(paths) else []


def parallel_folders(root, paths):
    """Two folders of which one has at least half of its file names in common with the other, or None."""
    return _parallel(root, paths, _by_folder((path, path.stem) for path in paths))


def parallel_but_for_a_word(root, paths):
    """Twins in parallel folders, where a word at one end is dropped that all names in a folder have: 1_A.jpg, 1_B.jpg.

    Returns:
        List of two paths each, empty if there are no such folders.
    """
    for place in (0, -1):
        ends = _by_folder((path, (words_of(path.stem) or [""])[place]) for path in paths)
        names = _by_folder((path, without_word(path.stem, place)) for path in paths if len(ends[path.parent]) == 1)
        if folders := _parallel(root, paths, names):
            one, other = (names[folder] for folder in folders)
            return [(one[name], other[name]) for name in one if name in other]
    return []


def _by_folder(named):
    """A dict from the folders of (path, name) to dicts from the names to the paths."""
    found = collections.defaultdict(dict)
    for path, name in named:
        found[path.parent].setdefault(name, path)
    return found


def _parallel(root, paths, names):
    """Two folders with names in common, see `parallel_folders`; `names` is what `_by_folder` returns."""
    finder = Splits(paths, root)
    bare = {folder: tuple(part for _, part in finder.without(folder / "x")) for folder in names}
    places = collections.defaultdict(list)
    for folder, some in names.items():
        for name in some:
            places[name].append(folder)
    for folders in places.values():
        # A name that many albums have says little, and comparing all of these with each other takes long.
        pairs = itertools.combinations(folders, 2) if len(folders) <= MANY else itertools.pairwise(folders)
        for one, other in pairs:
            common = 2 * len(names[one].keys() & names[other].keys())
            if common >= min(len(names[one]), len(names[other])) and bare[one] != bare[other]:
                return one, other
    return None
