"""What `--data` accepts, how it is split, and what it says of unusable input."""

import collections
import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from unet_deblur_tf.configs import DIFFICULTIES
from unet_deblur_tf.data.pairs import (
    Pair,
    by_sequence,
    choose_split,
    evenly_spaced,
    hold_out,
    measure_pairs,
    require_size,
)
from unet_deblur_tf.data.pictures import picture_size, read_picture
from unet_deblur_tf.data.sources import load_pairs
from unet_deblur_tf.data.trees.tree import find_pairs
from unet_deblur_tf.errors import InputError


def names(pairs):
    return [(pair.sequence, pair.name) for pair in pairs]


def test_official_layout(make_pairs):
    root = make_pairs(
        "train/GOPR1/{}/000001.png",
        "train/GOPR1/{}/000002.png",
        "train/GOPR2/{}/000001.png",
        "test/GOPR9/{}/000007.png",
    )
    found = find_pairs(root)
    assert names(found["train"]) == [("GOPR1", "000001"), ("GOPR1", "000002"), ("GOPR2", "000001")]
    assert names(found["test"]) == [("GOPR9", "000007")]
    pair = found["test"][0]
    assert (read_picture(pair.blur) == read_picture(pair.sharp) // 2).all()


def test_splits_below_a_folder_around_them(make_pairs):
    """Such as the one that an archive is unpacked to: nothing of a test part may be trained on."""
    frames = [
        f"GOPRO_Large/{split}/{name}/{{}}/1.png" for split, name in (("train", "A"), ("train", "test"), ("test", "C"))
    ]
    found = find_pairs(make_pairs(*frames))
    assert names(found["train"]) == [("GOPRO_Large/A", "1"), ("GOPRO_Large/test", "1")]
    assert names(found["test"]) == [("GOPRO_Large/C", "1")]
    assert set(found) == {"train", "test"}


def test_plain_folder(make_pairs):
    root = make_pairs(*[f"{{}}/{number:02}.png" for number in range(20)])
    splits = {split: names(load_pairs(root, split)) for split in ("train", "val", "test")}
    assert {split: len(found) for split, found in splits.items()} == {"train": 16, "val": 2, "test": 2}
    everything = [name for found in splits.values() for name in found]
    assert sorted(everything) == names(load_pairs(root, "all"))
    assert len(set(everything)) == 20


def test_blur_gamma_on_request(make_pairs, save_picture, picture):
    root = make_pairs("test/A/{}/1.png")
    save_picture(root / "test/A/blur_gamma/1.png", picture)
    assert load_pairs(root, "test")[0].blur.parent.name == "blur"
    assert load_pairs(root, "test", blur="blur_gamma")[0].blur.parent.name == "blur_gamma"


def test_twins_may_have_other_endings(make_pairs, save_picture, picture):
    root = make_pairs("{}/1.png", "{}/2.png")
    (root / "blur/1.png").unlink()
    save_picture(root / "blur/1.jpg", picture)
    assert [pair.blur.name for pair in load_pairs(root, "all")] == ["1.jpg", "2.png"]


def test_validation_is_held_out_by_sequence(make_pairs):
    root = make_pairs(
        *[f"train/S{sequence}/{{}}/{frame}.png" for sequence in range(5) for frame in range(4)], "test/T/{}/0.png"
    )
    train, val = load_pairs(root, "train"), load_pairs(root, "val")
    assert {pair.sequence for pair in train} & {pair.sequence for pair in val} == set()
    assert len(train) == 16
    assert len(val) == 4


def test_holding_out_depends_on_names_alone():
    pairs = [Pair(f"S{number % 7}", str(number), None, None) for number in range(70)]
    kept, held = hold_out(pairs, by_sequence(pairs))
    again = hold_out(pairs[::-1], by_sequence(pairs))
    assert (kept[::-1], held[::-1]) == again
    assert len(held) == 10
    assert kept == [pair for pair in pairs if pair not in held]
    assert hold_out(pairs[:1], by_sequence(pairs[:1])) == (pairs[:1], [])
    odd = [pair._replace(sequence=f"\udce9{pair.sequence}") for pair in pairs]  # not valid UTF-8
    assert len(hold_out(odd, by_sequence(odd))[1]) == 10


def held_out(sizes, **given):
    """Counts the pairs by split and sequence where sequences S0, S1, ... of these sizes lie in no split."""
    pairs = [Pair(f"S{index}", str(number), None, None) for index, size in enumerate(sizes) for number in range(size)]
    found = {split: choose_split({"": pairs, **given}, split, by_sequence, "") for split in ("train", "val", "test")}
    return {split: collections.Counter(pair.sequence for pair in some) for split, some in found.items()}


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([200, 12, 12], (200, 12, 12)),
        ([12, 200, 12], (200, 12, 12)),
        ([12, 12, 200], (200, 12, 12)),
        ([1000, 10, 10], (1000, 10, 10)),
        ([40, 30, 10, 10, 10], (80, 10, 10)),
        ([10, 10, 10], (10, 10, 10)),
        ([1, 1, 1], (1, 1, 1)),
    ],
)
def test_a_sequence_far_larger_than_a_tenth_is_to_train_on(sizes, expected):
    found = held_out(sizes)
    assert tuple(found[name].total() for name in ("train", "val", "test")) == expected
    assert sum(map(len, found.values())) == len(sizes)  # each sequence is whole


def test_a_stray_picture_alone_is_not_held_out():
    given = [Pair("T", "0", None, None)]
    assert held_out([100, 100, 100, 100, 1], test=given)["val"].total() in (100, 101)


def test_which_sequences_are_held_out_stays_the_same():
    """As in earlier versions, where sequences are about alike: else a network would be scored on what it knows."""
    found = held_out([8 + number % 5 for number in range(25)])
    assert set(found["test"]) == {"S5", "S9", "S13"}
    assert set(found["val"]) == {"S1", "S3", "S10"}


def test_spread():
    assert evenly_spaced(list(range(10)), 4) == [0, 2, 5, 7]
    assert evenly_spaced([1, 2], 4) == [1, 2]
    assert evenly_spaced([1, 2], None) == [1, 2]


@pytest.fixture
def few_scenes(monkeypatch):
    """The quick difficulty with as many scenes as these tests have photos."""
    few = dataclasses.replace(DIFFICULTIES["quick"], scenes={"train": 16, "val": 2, "test": 2})
    monkeypatch.setitem(DIFFICULTIES, "quick", few)


def test_photos_are_split_by_photo(tmp_path, save_picture, few_scenes):
    for number in range(20):
        save_picture(tmp_path / f"photos/{number}.png", np.full((180, 180, 3), 10 * number, np.uint8))
    shades = {}
    for split in ("train", "val", "test"):
        pairs = load_pairs(tmp_path / "photos", split, cache_dir=tmp_path / "cache")
        shades[split] = {np.median(read_picture(pair.sharp)).round(-1) / 10 for pair in pairs}
    assert shades["train"] | shades["val"] | shades["test"] == set(range(20))
    assert sum(len(some) for some in shades.values()) == 20


def test_every_photo_to_train_on_is_used(tmp_path, save_picture, few_scenes):
    for number in range(24):
        save_picture(tmp_path / f"photos/train/{number}.png", np.full((180, 180, 3), 10 * number, np.uint8))
    pairs = load_pairs(tmp_path / "photos", "train", cache_dir=tmp_path / "cache")
    shades = [np.median(read_picture(pair.sharp)).round(-1) / 10 for pair in pairs]
    # Of 24 photos two each are held out; 20 are more than the 16 pairs of this difficulty.
    assert len(shades) == len(set(shades)) == 20


def test_photos_in_folders_named_after_splits(tmp_path, save_picture, few_scenes):
    for split, level in (("train", 50), ("test", 200)):
        for number in range(3):
            save_picture(tmp_path / f"photos/{split}/{number}.png", np.full((180, 180, 3), level, np.uint8))
    pair = load_pairs(tmp_path / "photos", "test", cache_dir=tmp_path / "cache")[0]
    assert abs(int(np.median(read_picture(pair.sharp))) - 200) <= 1


def fails(message, function, *arguments, **keywords):
    with pytest.raises(InputError) as caught:
        function(*arguments, **keywords)
    assert "\n" not in str(caught.value)
    for part in message:
        assert part in str(caught.value), str(caught.value)


def test_no_such_folder(tmp_path):
    fails(["No such folder", "nowhere", "synthetic"], load_pairs, str(tmp_path / "nowhere"), "test")


def test_no_pictures(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to see")
    fails(["No pictures", str(tmp_path)], load_pairs, str(tmp_path), "test")


def test_a_missing_twin_is_named(make_pairs):
    root = make_pairs("train/A/{}/1.png", "train/A/{}/2.png", "train/A/{}/3.png")
    (root / "train/A/sharp/2.png").unlink()
    fails(["train/A/blur/2.png has no sharp twin in", "train/A/sharp"], load_pairs, root, "train")
    (root / "train/A/sharp/1.png").unlink()
    fails(["1 more"], load_pairs, root, "train")


def test_a_missing_blur_folder_is_named(make_pairs):
    root = make_pairs("test/A/{}/1.png")
    message = ["sharp pictures in", "test/A/sharp", "no blurred ones in a folder 'blur_gamma'"]
    fails(message, load_pairs, root, "test", blur="blur_gamma")


def test_a_missing_sharp_folder_is_named(make_pairs):
    root = make_pairs("train/A/{}/1.png", "train/B/{}/1.png")
    shutil.rmtree(root / "train/B/sharp")
    fails(["train/B/blur has 1 pictures, but no sharp twins beside it"], load_pairs, root, "train")


def test_two_pictures_of_one_name_are_named(make_pairs, save_picture, picture):
    root = make_pairs("{}/1.png")
    save_picture(root / "sharp/1.jpg", picture)
    fails(["sharp/1.jpg and", "sharp/1.png have the same name"], load_pairs, root, "all")


def test_linked_folders_are_followed(make_pairs, tmp_path):
    real = make_pairs("{}/1.png", "{}/2.png")
    (tmp_path / "links/test").mkdir(parents=True)
    (tmp_path / "links/test/A").symlink_to(real)
    assert names(load_pairs(tmp_path / "links", "test")) == [("A", "1"), ("A", "2")]


def test_one_training_sequence_is_divided_by_picture(make_pairs):
    root = make_pairs(*[f"train/A/{{}}/{frame:02}.png" for frame in range(20)], "test/B/{}/1.png", "test/C/{}/1.png")
    assert len(load_pairs(root, "val")) == 2


def test_gopros_named_sequences_are_for_validation(make_pairs):
    frames = [f"train/{name}/{{}}/000001.png" for name in ("GOPR0372_07_00", "GOPR0379_11_00", "GOPR0477_11_00")]
    root = make_pairs(*frames, "test/GOPR0384_11_00/{}/000001.png")
    assert names(load_pairs(root, "val")) == [("GOPR0379_11_00", "000001")]
    assert names(load_pairs(root, "train")) == [("GOPR0372_07_00", "000001"), ("GOPR0477_11_00", "000001")]


def test_a_missing_split_is_named(make_pairs):
    root = make_pairs("test/A/{}/1.png")
    fails(["nothing for the train split", "1 for test"], load_pairs, root, "train")


def test_twins_of_different_size_are_named(make_pairs, save_picture):
    root = make_pairs("{}/1.png", "{}/2.png")
    save_picture(root / "sharp/2.png", (50, 60))
    fails(["blur/2.png is 112x96", "sharp/2.png is 60x50"], measure_pairs, load_pairs(root, "all"))


def test_a_small_picture_is_named(make_pairs):
    root = make_pairs("{}/1.png")
    fails(["blur/1.png is 112x96: at least 100x100"], require_size, measure_pairs(load_pairs(root, "all")), 100, "")


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_file_that_is_no_picture_is_named(make_pairs, content):
    root = make_pairs("{}/1.png")
    (root / "blur/1.png").write_bytes(content)
    fails(["blur/1.png cannot be read as a picture"], measure_pairs, load_pairs(root, "all"))
    fails(["blur/1.png cannot be read as a picture"], read_picture, root / "blur/1.png")


def test_sixteen_bits_are_rounded_to_eight(tmp_path):
    levels = np.array([[0, 128, 129, 40_000, 65_535]], np.uint16).repeat(5, axis=0)
    Image.fromarray(levels).save(tmp_path / "1.png")
    expected = [0, 0, 1, 156, 255]  # value / 257, rounded
    for channel in range(3):
        np.testing.assert_array_equal(read_picture(tmp_path / "1.png")[0, :, channel], expected)


def test_32_bit_floats_are_refused_by_their_header(make_pairs):
    """So before a network is built."""
    root = make_pairs("{}/1.png")
    Image.fromarray(np.full((96, 112), 0.5, np.float32)).save(root / "blur/1.tiff")
    (root / "blur/1.png").unlink()
    message = ["blur/1.tiff cannot be read as a picture", "of a kind that is not supported (F)"]
    fails(message, measure_pairs, load_pairs(root, "all"))
    fails(message, read_picture, root / "blur/1.tiff")


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_pictures_are_upright_by_their_exif_data(tmp_path, picture, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = {3: 2, 6: 1, 8: 3}[orientation]  # quarter turns that the stored picture is away from upright
    Image.fromarray(np.ascontiguousarray(np.rot90(picture, stored))).save(tmp_path / "1.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "1.png"), picture)
    assert picture_size(tmp_path / "1.png") == (picture.shape[1], picture.shape[0])


def test_grey_palette_and_alpha_become_rgb(tmp_path, picture):
    grey = Image.fromarray(picture).convert("L")
    for mode in ("L", "P", "LA", "RGBA"):
        grey.convert(mode).save(tmp_path / "1.png")
        np.testing.assert_array_equal(read_picture(tmp_path / "1.png"), np.dstack([np.asarray(grey)] * 3))


def test_synthesised_pairs_have_no_split_all(tmp_path, save_picture):
    fails(["--split all is for folders of pairs"], load_pairs, "synthetic", "all")
    save_picture(tmp_path / "photo.png", (200, 200))
    fails(["--split all is for folders of pairs"], load_pairs, tmp_path, "all")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_truncated_picture_is_named(tmp_path, save_picture, picture, suffix):
    path = save_picture(tmp_path / f"1{suffix}", picture)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    fails([f"1{suffix} cannot be read as a picture"], read_picture, path)


def test_crops_of_a_picture_stay_together():
    pairs = [Pair("", f"{frame:04}_s{crop:03}", "", "") for frame in range(20) for crop in range(1, 5)]
    kept, held = hold_out(pairs, by_sequence(pairs))
    frames = [{pair.name[:4] for pair in some} for some in (kept, held)]
    assert len(held) == 8
    assert not frames[0] & frames[1]
