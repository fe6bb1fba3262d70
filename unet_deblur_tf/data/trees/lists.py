"""List files that say which pictures are pairs and of which split, as RealBlur and RSBlur have them.

Each line names a pair, such as "RealBlur_J/scene050/gt/gt_1.png RealBlur_J/scene050/blur/blur_1.png"; the words in the
paths tell which of the two is blurred. The split is in the file's name (RealBlur_J_train_list.txt), else in the names
of the folders that the list or the pictures lie in.
"""

import codecs
import os
import re
from pathlib import PurePath
from typing import NamedTuple

from unet_deblur_tf.data.pictures import PICTURE_SUFFIXES, is_picture
from unet_deblur_tf.data.trees.layouts import read_name
from unet_deblur_tf.data.trees.matching import Twins, side_by_file_name, side_by_folders
from unet_deblur_tf.errors import InputError

DEPTH = 3  # parts of a list's path below the root, its name included
LISTS = {".txt", ".csv", ".lst"}


class Lists(NamedTuple):
    """What the lists of a tree say.

    Attributes:
        pairs: list of `Twins`, each once.
        files: list of `Path` of the lists.
        notes: list of str, lists that are not heeded, and why.
        unread: list of `Path`, text files whose names have a word for a split, but which do not name pairs.
    """

    pairs: list
    files: list
    notes: list
    unread: list


def read_lists(files, root, names, splits, only=None):
    """The pairs that list files in a folder name.

    Args:
        files: list of `Path`, all files of the tree; text files at most `DEPTH` deep are looked at.
        root: `Path`.
        names: `layouts.Names`.
        splits: `splits.Splits` of the tree.
        only: regular expression that the lists' names begin with, in lower case; None for all lists.

    Returns:
        `Lists`, empty if there are no lists of pairs.

    Raises:
        InputError: if a list names a picture that is not there, does not tell blurred from sharp, has lines of another
            kind, or puts a pair into another split, or gives it another sharp picture, than another line.
    """
    found, lists, notes, unread = {}, [], [], []
    for path in files:
        if path.suffix.lower() not in LISTS or len(path.relative_to(root).parts) > DEPTH:
            continue
        if only and not re.match(only, path.stem.lower()):
            continue
        lines = read_lines(path)
        if not lines:
            unread += [path] if read_name(path.stem).split and names_pictures(path, files) else []
            continue
        pairs, note = pairs_of(path, lines, root, names, splits)
        if note:
            notes.append(f"{path.relative_to(root).as_posix()} is not heeded: {note}")
            continue
        lists.append(path)
        for pair in pairs:
            other = found.setdefault(pair.blurred, pair)
            if other.split != pair.split:
                raise InputError(
                    f"Lists put {pair.blurred} into two splits, {other.split or 'none'} and {pair.split or 'none'}: "
                    f"{', '.join(file.name for file in lists)}. Move those away that should not count"
                )
            if other.sharp != pair.sharp:
                raise InputError(
                    f"{path} and the lists before it give {pair.blurred} two sharp pictures, {other.sharp} and "
                    f"{pair.sharp}: which is meant?"
                )
    return Lists([*found.values()], lists, notes, unread)


def text_lines(path):
    """The lines of a text file without empty ones and comments; none if it cannot be read as text."""
    try:
        data = path.read_bytes()
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # as programs of Windows write it
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return []
    return [line.replace("\\", "/") for line in text.splitlines() if line.strip() and not line.startswith("#")]


def names_pictures(path, files):
    """Whether at least half of the lines of a text file name pictures, by file names or stems of those in `files`."""
    stems = {file.stem for file in files if is_picture(file)}
    lines = [re.split(r"[\s,;]+", line.strip()) for line in text_lines(path)]
    named = [any(is_picture_name(word) or PurePath(word).name in stems for word in words) for words in lines]
    return bool(lines) and 2 * sum(named) >= len(lines)


def read_lines(path):
    """The lines of a list of pairs as lists of two names; empty for any other file.

    Raises:
        InputError: if most lines name two pictures, but some do not.
    """
    lines = text_lines(path)
    if path.suffix.lower() == ".csv" and lines and not picture_names(lines[0]):
        del lines[0]  # the names of the columns
    named = [picture_names(line) for line in lines]
    good = [line for line in named if len(line) == 2]
    if not lines or 2 * len(good) < len(lines):
        return []
    if len(good) < len(lines):
        odd = lines[next(number for number, line in enumerate(named) if len(line) != 2)]
        raise InputError(f"{path} has a line that does not name two pictures: {odd.strip()!r}")
    return good


def picture_names(line):
    """The names of pictures in a line. Where a comma, a semicolon or a tab parts two, they may contain blanks."""
    for separator in (r"\s*[,;\t]\s*", r"[\s,;]+"):
        words = [word for word in re.split(separator, line.strip()) if is_picture_name(word)]
        if len(words) == 2:
            break
    return words


def is_picture_name(word):
    """Whether a word is the path of a picture."""
    return "." in word and f".{word.rpartition('.')[2].lower()}" in PICTURE_SUFFIXES


def pairs_of(path, lines, root, names, splits):
    """The `Twins` of a list, and None; or None and why the list is not heeded."""
    pictures = [[find_picture(name, path, root) for name in line] for line in lines]
    if not any(picture for line in pictures for picture in line):
        return None, "none of its pictures are here"
    split = read_name(path.stem).split or splits.of(path)
    pairs = []
    for line, found in zip(lines, pictures):
        if missing := [name for name, picture in zip(line, found) if picture is None]:
            raise InputError(f"{path} names {missing[0]}, which is not below {root}")
        sides = {}
        for picture in found:
            side = side_by_folders(picture, names, splits)
            if side.side == "on request":
                return None, f"--blur {side.word} takes what it names"
            side = side if side.side else side_by_file_name(picture, names, splits)
            sides[side.side] = side
        if sides.keys() != {"blurred", "sharp"}:
            raise InputError(f"{path} has a line that does not tell blurred from sharp: {' '.join(line)}")
        blurred = sides["blurred"]
        pairs.append(Twins(split or blurred.split, "/".join(blurred.folders), blurred.path, sides["sharp"].path))
    return pairs, None


def find_picture(name, path, root):
    """The picture that a list names, relative to the root or to the list's folder; None if it is not below the root.

    Its path counts, not what links in it lead to: large sets often lie on another disk.
    """
    if os.path.isabs(name):
        name = os.path.relpath(name, root)
    if ".." in PurePath(name).parts:
        return None
    candidates = (base / name for base in (root, path.parent))
    return next((picture for picture in candidates if root in picture.parents and picture.is_file()), None)
