"""The words by which data sets name the two sides of their pairs and their splits.

`LAYOUTS` has an entry for each layout of the field. To add a layout, add an entry.

A name is read word by word: capitals, digits and words that say nothing ("crops", "images") do not count, so
`Blur`, `blur_300` and `blur_crops` all mean "blur". `train_blur` names a split and a side.
"""

import functools
import re
import unicodedata
from typing import NamedTuple

from unet_deblur_tf.errors import InputError


class Layout(NamedTuple):
    """How one kind of data set names the two sides of its pairs.

    Attributes:
        name: str, what people call it.
        blurred, sharp: tuples of names in lower case, words joined by "_".
        weak: bool, the names mean other things elsewhere: they count where both sides stand beside each other.
        on_request: names of further blurred folders, taken only by `--blur NAME`.
    """

    name: str
    blurred: tuple
    sharp: tuple
    weak: bool = False
    on_request: tuple = ()


LAYOUTS = (
    # GoPro: {train,test}/SEQUENCE/{blur,sharp}/FRAME.png; BSD: {train,valid,test}/SEQUENCE/{Blur,Sharp}/RGB/FRAME.png.
    Layout("blur and sharp, as GoPro and BSD", ("blur",), ("sharp",), on_request=("blur_gamma",)),
    # REDS: {train,val}/{train,val}_{blur,sharp}/SEQUENCE/FRAME.png.
    Layout("blur and sharp, as REDS", ("blur",), ("sharp",), on_request=("blur_comp", "blur_jpeg", "blur_bicubic")),
    # MPRNet, NAFNet, Restormer: {train,test}/{input,target}/NAME.png, for training often {input,target}_crops.
    Layout("input and target, as MPRNet and NAFNet", ("input", "inputs"), ("target", "targets")),
    # RealBlur: SCENE/{blur,gt}/{blur,gt}_N.png, with lists. RSBlur: SCENE/N/{real_blur,gt}/{real_blur,gt_sharp}.png.
    Layout("blur and gt, as RealBlur", ("blur",), ("gt",)),
    Layout("real_blur and gt, as RSBlur", ("real_blur",), ("gt",), on_request=("avg", "avg_inter")),
    # DPDD: {train,val,test}_c/{source,target}/NAME.png.
    Layout("source and target, as DPDD", ("source",), ("target",)),
    # HIDE: {train,test}/.../NAME.png and GT/NAME.png.
    Layout("split folders and GT, as HIDE", (), ("gt",)),
    # BasicSR.
    Layout("lq and gt, as BasicSR", ("lq", "low_quality"), ("gt", "hq", "ground_truth", "groundtruth")),
    # The Kaggle blur data set: {sharp,motion_blurred,defocused_blurred}/N_CAMERA_{S,M,F}.jpg.
    Layout(
        "motion_blurred and sharp, as Kaggle's blur data set",
        ("motion_blurred", "motion_blur"),
        ("sharp",),
        on_request=("defocused_blurred", "defocus_blur", "defocus"),
    ),
    Layout("blurred and sharp", ("blurred", "blurry"), ("sharp", "clean", "clear")),
    # pix2pix, CycleGAN.
    Layout("A and B, as pix2pix", ("a",), ("b",), weak=True),
)

SPLITS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "tst", "eval", "evaluation"),
}
SILENT = {"crop", "crops", "cropped", "image", "images", "img", "imgs", "png", "jpg", "patches", "frames", "lmdb"}
# Of file names alone, at their end: the Kaggle set's sharp, motion-blurred and defocused pictures.
SHARP_ENDINGS, BLURRED_ENDINGS = ("s",), ("m", "f")

SIDES = {name: "blurred" for layout in LAYOUTS for name in layout.blurred}
SIDES |= {name: "sharp" for layout in LAYOUTS for name in layout.sharp}
WEAK = {name for layout in LAYOUTS if layout.weak for name in (*layout.blurred, *layout.sharp)}
ON_REQUEST = {name for layout in LAYOUTS for name in layout.on_request}
SPLIT_WORDS = {word: split for split, words in SPLITS.items() for word in words}
COMPOUNDS = {f"{word}{end}": split for word, split in SPLIT_WORDS.items() for end in ("set", "list", "data")}


def words_of(name):
    """The words and numbers of a folder's or a file's name, in lower case: "BlurImages_2" is blur, images, 2."""
    return [*_words_of(name)]


@functools.lru_cache(maxsize=1 << 17)  # large sets ask for each name several times
def _words_of(name):
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFC", name))
    return re.findall(r"\d+|[^\W\d_]+", name.lower())


class Reading(NamedTuple):
    """What a folder's name says.

    Attributes:
        split: "train", "val", "test", or None if no word or more than one names a split.
        full: str, the other words and numbers, joined by "_".
        rest: str, those of them that say something.
    """

    split: str | None
    full: str
    rest: str


def read_name(name):
    """The `Reading` of a folder's name."""
    words = words_of(name)
    known = {word: SPLIT_WORDS.get(word) or COMPOUNDS.get(word) for word in words}
    splits = {split for split in known.values() if split}
    others = [word for word in words if not known[word]] if len(splits) == 1 else words
    rest = [word for word in others if word not in SILENT and not word.isdigit()]
    return Reading(splits.pop() if len(splits) == 1 else None, "_".join(others), "_".join(rest))


def full_name(name):
    """The words of a folder's name without the split, joined by "_"; the name as it is if it has no others."""
    return read_name(name).full or name.lower()


class Names:
    """Which names mean blurred and sharp: those of `LAYOUTS`, or those that a user gave.

    Args:
        blur, sharp: str, the only name to take for that side; None for those of `LAYOUTS`.
        weak_only: bool, only weak words count.

    Raises:
        InputError: if a name is not that of a folder.
    """

    def __init__(self, blur=None, sharp=None, weak_only=False):
        blur, sharp = (name and name.rstrip("/\\") for name in (blur, sharp))  # which shells add
        for flag, name in (("blur", blur), ("sharp", sharp)):
            if name is not None and not re.fullmatch(r"[^/\\]*\w[^/\\]*", name):
                raise InputError(f"--{flag} takes the name of a folder, such as {flag}, not {name!r}")
        self.blur, self.sharp = (name and full_name(name) for name in (blur, sharp))
        self.weak_only = weak_only

    def side(self, name):
        """The side that a folder's name means.

        Returns:
            ("blurred", "sharp", "on request" or None, whether the word is a weak one).
        """
        reading = read_name(name)
        if self.blur and full_name(name) == self.blur:
            return "blurred", False
        if self.sharp and full_name(name) == self.sharp:
            return "sharp", False
        word = reading.rest
        side = "on request" if word in ON_REQUEST else SIDES.get(word)
        if side == "blurred" and self.blur:
            side = "on request"
        named = bool(self.blur or self.sharp)
        if (side == "sharp" and self.sharp) or (named if word in WEAK else self.weak_only):
            side = None
        return side, word in WEAK

    def bare_stem(self, stem, endings=False):
        """A file's stem without words for a side at its beginning and end: "blur_1" and "1_sharp" are both "1".

        Args:
            stem: str.
            endings: bool, the letters of Kaggle's set are such words, too.
        """
        words = words_of(stem)
        known = (SIDES.keys() | ON_REQUEST | {"real", "avg", self.blur, self.sharp}) - WEAK
        while words and words[0] in known:
            words.pop(0)
        while words and words[-1] in known:
            words.pop()
        if endings and len(words) > 1 and words[-1] in (*SHARP_ENDINGS, *BLURRED_ENDINGS):
            words.pop()
        return "_".join(words)
