"""Compares the blur that the package synthesises with that of real pairs, in a figure.

python experiments/compare_blur.py docs/synthesis.png --pairs GOPRO --photos PHOTOS

It draws what is measured of each pair (by how much blurring changes the mean level, the spectrum of the blurred picture
over that of the sharp one, and the spectrum of the sharp picture) for the pairs of the part `test/`, and for the
photos blurred at two difficulties; and below, blurred and sharp parts of a pair of each, enlarged three times.
"""

import argparse
import dataclasses
from pathlib import Path

import matplotlib.figure
import numpy as np
from gather import pairs_to

from unet_deblur_tf.configs import DIFFICULTIES
from unet_deblur_tf.data.pictures import find_pictures, read_picture
from unet_deblur_tf.data.synthesis.blur import blurred_pair, canvas_size
from unet_deblur_tf.data.synthesis.generated import largest_scale, region
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils import scripts
from unet_deblur_tf.utils.files import write_by_rename

SIZE = dict(width=640, height=360)  # of synthesised pictures, and of the middle of real ones
BINS = np.arange(0.01, 0.5, 0.01)  # cycles per pixel
DETAIL = 96  # pixels, side of the enlarged parts
LUMA = (0.299, 0.587, 0.114)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the figure, PNG")
    parser.add_argument("--pairs", type=Path, required=True, help="folder of real pairs")
    parser.add_argument("--photos", type=Path, required=True, help="folder of sharp photos")
    parser.add_argument("--count", type=int, default=24, help="synthesised pairs of each kind (default: %(default)s)")
    return parser.parse_args()


def main(arguments):
    photos = [read_picture(path) for path in find_pictures(arguments.photos, recursive=True)]
    sources = {"real pairs": [middle(pair) for pair in pairs_to("test", arguments.pairs)]}
    for name in ("gopro", "large"):
        sources[f"difficulty {name}"] = [synthesised(photos, name, number) for number in range(arguments.count)]
    with write_by_rename(arguments.output) as partial:
        draw(sources).savefig(partial, dpi=90, format="png")
    for name, pairs in sources.items():
        levels = [level_change(*pair) for pair in pairs]
        fine = np.mean([sharpness(sharp) for _, sharp in pairs])
        print(f"{name:18} {len(pairs):3} pairs  level {np.mean(levels):+.2f}  fine detail of the sharp {fine:.4f}")


def middle(pair):
    """The middle of a real pair: (blurred, sharp), uint8."""
    pictures = [read_picture(path) for path in (pair.blur, pair.sharp)]
    if pictures[0].shape[0] < SIZE["height"] or pictures[0].shape[1] < SIZE["width"]:
        raise InputError(f"{pair.blur} is smaller than {SIZE['width']}x{SIZE['height']}, the part that is compared")
    top, left = ((side - SIZE[name]) // 2 for side, name in zip(pictures[0].shape, ("height", "width")))
    return tuple(picture[top : top + SIZE["height"], left : left + SIZE["width"]] for picture in pictures)


def synthesised(photos, name, number):
    """A photo, blurred at a difficulty: (blurred, sharp), uint8. The same number gives the same part of the photo."""
    rng = np.random.default_rng([7, number])
    difficulty = dataclasses.replace(DIFFICULTIES[name], **SIZE, noise=0)
    size, photo = canvas_size(difficulty), photos[number % len(photos)]
    backdrop, fill = (region(rng, photo, size, min(1.0, largest_scale(photo, size))) for _ in range(2))
    return blurred_pair(rng, backdrop, fill, difficulty)


def level_change(blurred, sharp):
    """The mean of the blurred picture minus that of the sharp one, in levels of 255."""
    return float(blurred.mean() - sharp.mean())


def spectrum(picture):
    """The mean amplitude of luma at each of `BINS`, over all directions."""
    luma = picture @ np.array(LUMA)
    window = np.outer(np.hanning(luma.shape[0]), np.hanning(luma.shape[1]))
    amplitude = np.abs(np.fft.rfft2((luma - luma.mean()) * window))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(luma.shape[0]), np.fft.rfftfreq(luma.shape[1]), indexing="ij"))
    places = np.digitize(frequency, BINS)
    return np.array([amplitude[places == place].mean() for place in range(1, len(BINS))])


def sharpness(picture):
    """How strong the finest details (above 0.25 cycles per pixel) are, compared with those of 0.05 to 0.25."""
    amplitude, frequency = spectrum(picture), (BINS[:-1] + BINS[1:]) / 2
    return amplitude[frequency > 0.25].mean() / amplitude[(frequency > 0.05) & (frequency < 0.25)].mean()


def draw(sources):
    """The figure: three panels of measurements, and a row of enlarged parts for each source."""
    figure = matplotlib.figure.Figure(figsize=(12, 4 + 2.6 * len(sources)), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(4, 2.6 * len(sources)))
    levels, ratio, label = above.subplots(1, 3)
    frequency = (BINS[:-1] + BINS[1:]) / 2
    for number, (name, pairs) in enumerate(sources.items()):
        changes = [level_change(*pair) for pair in pairs]
        levels.plot(changes, np.full(len(changes), -number), "o", alpha=0.5, color=f"C{number}")
        blurred, sharp = (np.array([spectrum(pair[side]) for pair in pairs]) for side in (0, 1))
        ratios = np.log10(blurred / sharp)
        ratio.plot(frequency, ratios.mean(axis=0), label=name)
        ratio.fill_between(frequency, *np.percentile(ratios, [25, 75], axis=0), alpha=0.15)
        relative = np.log10(sharp / sharp[:, :10].mean(axis=1, keepdims=True))
        label.plot(frequency, relative.mean(axis=0), label=name)
    levels.set_yticks([-number for number in range(len(sources))], list(sources))
    levels.set(xlabel="levels of 255", title="mean level, blurred minus sharp")
    ratio.set(xlabel="cycles per pixel", ylabel="log10", title="amplitude, blurred over sharp")
    label.set(xlabel="cycles per pixel", ylabel="log10", title="amplitude of the sharp, relative")
    ratio.legend()
    axes = below.subplots(len(sources), 6)
    for row, (name, pairs) in zip(axes, sources.items()):
        chosen = [pairs[number * len(pairs) // 3] for number in range(3)]
        for panels, (blurred, sharp) in zip((row[:2], row[2:4], row[4:]), chosen):
            top, left = busiest(sharp)
            for panel, picture, caption in zip(panels, (blurred, sharp), ("blurred", "sharp")):
                part = picture[top : top + DETAIL, left : left + DETAIL]
                panel.imshow(np.kron(part, np.ones((3, 3, 1), np.uint8)))
                panel.set_title(f"{name}, {caption}", fontsize=8)
                panel.axis("off")
    return figure


def busiest(picture):
    """(top, left) of the part with the most contrast."""
    height, width, _ = picture.shape
    corners = [
        (top, left)
        for top in range(0, height - DETAIL + 1, DETAIL // 2)
        for left in range(0, width - DETAIL + 1, DETAIL // 2)
    ]
    return max(corners, key=lambda at: picture[at[0] : at[0] + DETAIL, at[1] : at[1] + DETAIL].std())


if __name__ == "__main__":
    scripts.run(main, parse_arguments())
