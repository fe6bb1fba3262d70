"""The layouts of the field: read as what they are, or refused; a tree of pairs is never taken for photos."""

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from unet_deblur_tf.data.pairs import measure_pairs
from unet_deblur_tf.data.pictures import picture_size, read_picture
from unet_deblur_tf.data.sources import open_source
from unet_deblur_tf.data.trees import looks, unnamed
from unet_deblur_tf.data.trees.layouts import LAYOUTS, Names, Reading, read_name
from unet_deblur_tf.errors import InputError

# Each pair has a level of grey of its own, half of it when blurred, so that twins can be told from the pixels.
LEVELS = range(20, 250, 20)
SIZE = (32, 24)


def level_of(picture):
    return int(read_picture(picture)[0, 0, 0])


@pytest.fixture
def make_tree(tmp_path):
    """Makes a tree from (blurred path, sharp path) of each pair; returns its folder."""

    def make(pairs, *more):
        for level, twins in zip(LEVELS, pairs):
            for path, grey in zip(twins, (level // 2, level)):
                save(tmp_path / "tree" / path, grey)
        for path in more:
            save(tmp_path / "tree" / path, 3)
        return tmp_path / "tree"

    return make


def save(path, grey):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE, (grey,) * 3).save(path, **({"quality": 100} if path.suffix == ".jpg" else {}))


def assert_holds(root, **expected):
    """The tree has so many pairs of each split, and every one of them is of one scene."""
    source = open_source(root)
    assert not source.synthesised
    found = {split or "unnamed": len(pairs) for split, pairs in source.splits.items()}
    assert found == expected
    twins = [(level_of(pair.blur), level_of(pair.sharp)) for pairs in source.splits.values() for pair in pairs]
    assert all(abs(2 * blurred - sharp) <= 2 for blurred, sharp in twins)
    assert len(set(twins)) == len(twins)
    assert str(root) in source.summary
    for count in expected.values():
        assert str(count) in source.summary


def by_split(rule, splits=("train", "test")):
    """Pairs of paths by a rule from a split's name and a number; three of each split."""
    return [rule(split, number) for split, number in itertools.product(splits, range(3))]


TREES = {
    "GoPro": lambda s, n: [f"{s}/GOPR0{n}/{kind}/000001.png" for kind in ("blur", "sharp")],
    "BSD": lambda s, n: [f"{s}/{n}/{kind}/RGB/0001.png" for kind in ("Blur", "Sharp")],
    "MPRNet": lambda s, n: [f"{s}/{kind}/GOPR0372_07_00-00004{n}.png" for kind in ("input", "target")],
    "MPRNet, below": lambda s, n: [f"Datasets/GoPro/{s}/{kind}/{n}.png" for kind in ("input", "target")],
    "NAFNet": lambda s, n: [f"{s}/{kind}_crops/{n}_s00{n}.png" for kind in ("input", "target")],
    "REDS": lambda s, n: [f"{s}/{s}_{kind}/00{n}/00000001.png" for kind in ("blur", "sharp")],
    "REDS, unpacked": lambda s, n: [f"{s}_{kind}/00{n}/00000001.png" for kind in ("blur", "sharp")],
    "sides around splits": lambda s, n: [f"{kind}/{s}/{n}.png" for kind in ("blurry", "sharp")],
    "sides around sequences": lambda s, n: [f"{s}/{kind}/A{n}/1.png" for kind in ("blur", "GT")],
    "A and B": lambda s, n: [f"{s}/{kind}/{n}.png" for kind in "AB"],
    "A and B as sequences": lambda s, n: [f"{s}/{'AB'[n % 2]}/{kind}/{n}.png" for kind in ("blur", "sharp")],
    "names": lambda s, n: [f"{s}/00{n}_{kind}.png" for kind in ("blur", "sharp")],
    "names first": lambda s, n: [f"{s}/{kind}_{n}.jpg" for kind in ("blurred", "gt")],
    "names alone": lambda s, n: [f"{s}/scene {n}/{kind}.png" for kind in ("blurred", "sharp")],
    "capitals": lambda s, n: [f"{s.upper()}/{kind}/{n}.png" for kind in ("LQ", "GT")],
    "other endings": lambda s, n: [f"{s}/blur/{n}.jpg", f"{s}/sharp/{n}.png"],
    "RSBlur": lambda s, n: [f"{s}/0001/{n}/real_blur/real_blur.png", f"{s}/0001/{n}/gt/gt_sharp.png"],
    "splits in capitals": lambda s, n: [
        f"{'GOPRO' if s == 'train' else 'GoPro'}_{s}/{kind}/{n}.png" for kind in ("blur", "sharp")
    ],
    "a sequence called test": lambda s, n: [f"{s}/test/{kind}/{n}.png" for kind in ("blur", "sharp")],
}


@pytest.mark.parametrize("name", TREES)
def test_a_tree_is_read_as_pairs_with_its_splits(make_tree, name):
    assert_holds(make_tree(by_split(TREES[name])), train=3, test=3)


@pytest.mark.parametrize(
    ("spelled", "split"),
    [
        *(("Train", "train"), ("training", "train")),
        *(("valid", "val"), ("Validation", "val"), ("val", "val")),
        *(("TEST", "test"), ("testing", "test"), ("trn", "train"), ("tst", "test")),
    ],
)
def test_splits_are_known_however_they_are_spelled(make_tree, spelled, split):
    root = make_tree(by_split(lambda s, n: [f"{s}/{kind}/{n}.png" for kind in ("blur", "sharp")], [spelled]))
    assert_holds(root, **{split: 3})


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout.blurred], ids=lambda layout: layout.name)
def test_every_name_of_every_layout_is_known(tmp_path, make_tree, layout):
    for number, (blurred, sharp) in enumerate(itertools.product(layout.blurred, layout.sharp)):
        pairs = [
            [f"{number}/{blurred.title()}/{index}.png", f"{number}/{sharp.upper()}/{index}.png"] for index in range(3)
        ]
        assert_holds(make_tree(pairs) / str(number), unnamed=3)


def test_kaggles_defocused_pictures_are_taken_on_request_alone(make_tree):
    pairs = [[f"motion_blurred/{n}_HONOR_M.jpg", f"sharp/{n}_HONOR_S.jpg"] for n in range(3)]
    root = make_tree(pairs, *[f"defocused_blurred/{n}_HONOR_F.jpg" for n in range(3)])
    assert_holds(root, unnamed=3)
    assert "not used: 3 other, such as defocused_blurred/0_HONOR_F.jpg" in open_source(root).summary
    defocused = open_source(root, blur="defocused_blurred").splits[""]
    assert [level_of(pair.blur) for pair in defocused] == [3, 3, 3]


@pytest.mark.parametrize("other", ["blur_gamma", "blur_comp", "blur_jpeg"])
def test_other_kinds_of_blur_are_taken_on_request_alone(make_tree, other):
    pairs = [[f"train/A/blur/{n}.png", f"train/A/sharp/{n}.png"] for n in range(3)]
    root = make_tree(pairs, *[f"train/A/{other}/{n}.png" for n in range(3)])
    assert {pair.blur.parent.name for pair in open_source(root).splits["train"]} == {"blur"}
    assert {pair.blur.parent.name for pair in open_source(root, blur=other).splits["train"]} == {other}


def test_hides_blurred_pictures_lie_in_folders_for_splits(make_tree):
    pairs = [[f"train/{n}.png", f"GT/{n}.png"] for n in range(3)]
    pairs += [
        [f"test/test-{kind}/{kind}{n}.png", f"GT/{kind}{n}.png"] for kind in ("close-ups", "long-shot") for n in (3, 4)
    ]
    assert_holds(make_tree(pairs), train=3, test=4)


def test_realblurs_lists_say_the_splits(make_tree):
    paths = [[f"RealBlur_J/scene00{n}/{kind}/{kind}_1.png" for kind in ("blur", "gt")] for n in range(5)]
    root = make_tree(paths)
    for name, part in (("train", paths[:3]), ("test", paths[3:])):
        lines = [
            f"{sharp} {blurred} " for blurred, sharp in part
        ]  # sharp first, a blank at the end, as in the original
        (root / f"RealBlur_J_{name}_list.txt").write_text("\n".join(lines) + "\n")
    assert_holds(root, train=3, test=2)
    assert "RealBlur_J_test_list.txt" in open_source(root).summary


def test_lists_of_pictures_behind_a_link(make_tree, tmp_path):
    """Such as a set on another disk: without its lists, pairs to test with would be trained on."""
    root = make_tree([[f"J/{n}/{kind}/{kind}_1.png" for kind in ("blur", "gt")] for n in range(5)])
    (root / "J").rename(tmp_path / "J")
    (root / "J").symlink_to(tmp_path / "J")
    for name, numbers in (("train", range(3)), ("test", range(3, 5))):
        lines = [f"J/{n}/gt/gt_1.png J/{n}/blur/blur_1.png\n" for n in numbers]
        (root / f"J_{name}_list.txt").write_text("".join(lines))
    assert_holds(root, train=3, test=2)


def test_lists_in_a_folder_that_is_given_with_two_dots(make_tree, monkeypatch):
    root = make_tree([[f"J/{kind}/{n}.png" for kind in ("blur", "gt")] for n in range(3)])
    (root / "J_train_list.txt").write_text("J/gt/0.png J/blur/0.png\nJ/gt/1.png J/blur/1.png\n")
    monkeypatch.chdir(root / "J")
    assert_holds(Path("../../tree"), train=2)


def test_a_list_that_names_what_is_not_there(make_tree):
    root = make_tree([["s/blur/blur_1.png", "s/gt/gt_1.png"]])
    (root / "train_list.txt").write_text("s/gt/gt_1.png s/blur/blur_1.png\ns/gt/gt_2.png s/blur/blur_2.png\n")
    refused(root, "train_list.txt names s/gt/gt_2.png, which is not below")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("train.csv", lambda sharp, blurred: f"{sharp},{blurred}"),
        ("train.TXT", lambda sharp, blurred: f"{sharp}\t{blurred}"),
        ("train_list.txt", lambda sharp, blurred: f"./{sharp} {blurred}"),
    ],
)
def test_lists_in_other_formats(make_tree, name, write):
    root = make_tree([[f"{kind}/a {n}.png" if "list" not in name else f"{kind}/{n}.png" for kind in ("blur", "gt")]
                      for n in range(3)])  # fmt: skip
    stems = ["0", "1"] if "list" in name else ["a 0", "a 1"]
    lines = [write(f"gt/{stem}.png", f"blur/{stem}.png") for stem in stems]
    (root / name).write_text("\n".join(lines))
    assert_holds(root, train=2)


def test_lists_as_windows_writes_them_and_with_absolute_paths(make_tree, monkeypatch):
    root = make_tree([[f"{kind}/{n}.png" for kind in ("blur", "gt")] for n in range(3)])
    lines = [f"{root.absolute()}/gt/{n}.png {root.absolute()}/blur/{n}.png" for n in range(2)]
    (root / "test.txt").write_text("\r\n".join(lines), encoding="utf-16")
    monkeypatch.chdir(root.parent)
    assert_holds(Path(root.name), test=2)


@pytest.mark.parametrize("content", ["0.png\n1.png\n", "0\n1\n", "0.png 0.png 0\n"])
def test_lists_that_are_not_understood_are_not_passed_over(make_tree, content):
    """Or a random tenth would be tested on."""
    root = make_tree([[f"{kind}/{n}.png" for kind in ("blur", "gt")] for n in range(3)])
    (root / "train.txt").write_text(content)
    refused(root, "has 3 pairs, and a list that may say which of them are of which split, but train.txt is not ")


def test_a_list_with_two_sharp_pictures_of_one(make_tree):
    root = make_tree([[f"{kind}/{n}.png" for kind in ("blur", "gt")] for n in range(3)])
    (root / "train_list.txt").write_text("gt/0.png blur/0.png\ngt/1.png blur/0.png\n")
    refused(root, "two sharp pictures", "gt/0.png", "gt/1.png")


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["GoPro_train/{}/1.png", "HIDE_test/{}/2.png"], "GoPro_train and HIDE_test"),
        (["train_full/{}/1.png", "test_small/{}/2.png"], "train_full and test_small"),
        (["{}/train_1.png", "{}/test_2.png"], "train_1 and test_2"),
    ],
)
def test_words_for_splits_that_may_not_mean_them(make_tree, paths, names):
    pairs = [[path.format(kind) for kind in ("blur", "sharp")] for path in paths]
    names = sorted(names.split(" and "))
    refused(make_tree(pairs), "is not clear what is for training", f"{names[0]} and {names[1]} have words for splits")
    photos = make_tree([], *[path.format("x") for path in paths])
    assert open_source(photos, kind="photos").synthesised


@pytest.mark.parametrize("more", [["test/blur/9.png", "test/shrap/9.png"], ["test/9_gt.png"]])
def test_a_split_without_pairs_is_not_passed_over(make_tree, more):
    root = make_tree([[f"train/{kind}/{n}.png" for kind in ("blur", "sharp")] for n in range(3)], *more)
    refused(root, "has 3 train pairs (blur", f"and test pictures that are in no pair, such as {more[-1]}")


@pytest.mark.parametrize("more", ["eval/figure.png", "test/test_sharp_bicubic/9.png"])
def test_other_pictures_in_a_folder_for_a_split_are_said(make_tree, more):
    root = make_tree([[f"train/{kind}/{n}.png" for kind in ("blur", "sharp")] for n in range(3)], more)
    assert f"not used: 1 other, such as {more}" in open_source(root).summary


def test_the_users_names_may_be_a_split_without_pairs(make_tree):
    root = make_tree([[f"train/{kind}/{n}.png" for kind in ("bad", "good")] for n in range(3)], "test/bad/9.png")
    assert len(open_source(root, blur="bad/", sharp="good/").splits["train"]) == 3


def test_blurred_pictures_alone_may_be_a_split(make_tree):
    root = make_tree([[f"val/val_{kind}/{n}.png" for kind in ("blur", "sharp")] for n in range(3)], "test_blur/9.png")
    assert_holds(root, val=3)


def test_what_is_not_read_is_said(make_tree):
    root = make_tree([[f"{kind}/{n}.png" for kind in ("blur", "sharp")] for n in range(3)])
    for name in ("blur/4.ppm", "sharp/4.ppm", "test.zip"):
        (root / name).write_bytes(b"")
    assert "not read: 2 .ppm, 1 .zip" in open_source(root).summary


def test_names_of_sides_that_are_words_for_splits(make_tree):
    root = make_tree([[f"train/{n}.png", f"valid/{n}.png"] for n in range(3)])
    pairs = open_source(root, blur="train", sharp="valid").splits
    assert {split: len(found) for split, found in pairs.items()} == {"": 3}


@pytest.mark.parametrize("name", ["../blur", "???", ""])
def test_names_of_sides_that_are_none(make_tree, name):
    refused(make_tree([["blur/1.png", "sharp/1.png"]]), "--blur takes the name of a folder", blur=name)


def test_pairs_that_do_not_look_like_pairs(tmp_path):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (8, 12, 12, 3), dtype=np.uint8)
    sharp = [np.asarray(Image.fromarray(each).resize((96, 96), Image.Resampling.NEAREST)) for each in coarse]
    blurred = [np.asarray(Image.fromarray(each).filter(ImageFilter.GaussianBlur(3))) for each in sharp]
    for name, ours, theirs in (("pairs", blurred, sharp), ("swapped", sharp, blurred), ("others", blurred, sharp[1:])):
        for number, both in enumerate(zip(ours, theirs)):
            for kind, picture in zip(("blur", "sharp"), both):
                (tmp_path / name / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(tmp_path / name / kind / f"{number}.png")
    said = {name: open_source(tmp_path / name).summary for name in ("pairs", "swapped", "others")}
    assert "look " not in said["pairs"]
    assert "look sharper than the sharp ones: are they the wrong way round?" in said["swapped"]
    assert "do not look alike: do they belong together?" in said["others"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("test_results.csv", "name,psnr\nmean,25.3\n"), ("eval_log.txt", "loading\n"), ("requirements_dev.txt", "ruff\n")],
)
def test_other_text_files_with_words_for_splits_are_no_lists(make_tree, name, text):
    root = make_tree([[f"{kind}/a{n}.png" for kind in ("blur", "sharp")] for n in range(3)])
    (root / name).write_text(text)
    assert_holds(root, unnamed=3)


def test_a_list_with_names_of_columns(make_tree):
    root = make_tree([[f"{kind}/{n}.png" for kind in ("blur", "sharp")] for n in range(3)])
    (root / "train.csv").write_text("id,blur,sharp\n0,blur/0.png,sharp/0.png\n1,blur/1.png,sharp/1.png\n")
    assert_holds(root, train=2)


@pytest.mark.parametrize(
    "names",
    [["IMG_1.png", "DSC_1.png"], ["beach/beach00.png", "forest/forest00.png"], ["R/IMG_2.png", "P/DSC_2.png"]],
)
def test_photos_of_two_cameras_are_photos(tmp_path, names):
    rng = np.random.default_rng(0)
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8))
        coarse.resize((160, 120)).save(tmp_path / name)
    assert open_source(tmp_path).synthesised


@pytest.mark.parametrize("name", ["input.png", "clear.jpg", "blur free.png"])
def test_a_photo_called_like_a_side_is_a_photo(make_tree, name):
    if name == "blur free.png":
        refused(make_tree([], name), "blurred pictures in")
    else:
        assert open_source(make_tree([], name)).synthesised


def test_a_horizon_and_black_bars_are_in_both_halves_of_a_photo(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(4):
        photo = np.zeros((120, 200, 3), np.uint8)
        photo[20:60], photo[60:100] = 200, 60
        noise = Image.fromarray(rng.integers(0, 40, (12, 20, 3), dtype=np.uint8)).resize((200, 80))
        photo[20:100] += np.asarray(noise)
        Image.fromarray(photo).save(tmp_path / f"{number}.png")
    assert open_source(tmp_path).synthesised


def test_a_very_wide_photo_takes_little_memory():
    wide = np.random.default_rng(0).integers(0, 255, (1, 60_000, 3), dtype=np.uint8)
    assert looks._details(wide).shape == (64, 1024)


def test_other_text_files_are_no_lists(make_tree):
    root = make_tree([[f"blur/{n}.png", f"sharp/{n}.png"] for n in range(3)])
    (root / "README.txt").write_text("two words\nand three words\n")
    assert_holds(root, unnamed=3)


def write_lmdb(folder, pictures):
    """As BasicSR's `lmdb_util.make_lmdb_from_imgs` does: PNG files by name without ending, and meta_info.txt."""
    import lmdb

    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        lines = []
        for name, grey in pictures:
            file = io.BytesIO()
            Image.new("RGB", SIZE, (grey,) * 3).save(file, "PNG")
            transaction.put(name.encode("ascii"), file.getvalue())
            lines.append(f"{name}.png ({SIZE[1]},{SIZE[0]},3) 1")
    (folder / "meta_info.txt").write_text("\n".join(lines) + "\n")


def test_an_lmdb_file_beside_the_folders_that_it_was_made_of(tmp_path):
    for kind, share in (("blur", 2), ("sharp", 1)):
        levels = list(enumerate(LEVELS))[:3]
        write_lmdb(tmp_path / f"train_{kind}.lmdb", [(f"000/{n:08}", grey // share) for n, grey in levels])
        for number, grey in levels:
            save(tmp_path / f"train_{kind}/000/{number:08}.png", grey // share)
    assert_holds(tmp_path, train=3)


def test_a_data_base_of_another_program_is_passed_over(make_tree):
    root = make_tree([], "1.png", "2.png", "cache/3.png")
    (root / "cache/data.mdb").write_bytes(b"x")
    assert open_source(root).synthesised


def test_an_lmdb_file_beside_a_folder_of_its_name(tmp_path):
    for kind, share in (("input", 2), ("target", 1)):
        write_lmdb(tmp_path / f"{kind}.lmdb", [(f"{n}", grey // share) for n, grey in list(enumerate(LEVELS))[:3]])
    (tmp_path / "input").mkdir()
    assert_holds(tmp_path, unnamed=3)
    save(tmp_path / "input/0.png", 1)
    refused(tmp_path, "input.lmdb has 3 pictures, but", "input only 1: move one of them elsewhere")


def test_lmdb_as_nafnet_has_it(tmp_path):
    for split in ("train", "test"):
        levels = list(enumerate(LEVELS))[:3] if split == "train" else list(enumerate(LEVELS))[3:6]
        write_lmdb(tmp_path / f"{split}/input_crops.lmdb", [(f"{n:03}_s001", grey // 2) for n, grey in levels])
        write_lmdb(tmp_path / f"{split}/target_crops.lmdb", [(f"{n:03}_s001", grey) for n, grey in levels])
    assert_holds(tmp_path, train=3, test=3)
    (pair, *_) = measure_pairs(open_source(tmp_path).splits["train"])
    assert pair.size == SIZE
    assert pair.name == "000_s001"


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (None, "no readable meta_info.txt"),
        ("000.png 24 32 3\n", "has a line that is not"),
        ("000.png (24,32,3) 1\n", "cannot be read as an LMDB file"),
    ],
)
def test_a_damaged_lmdb_file_is_named(tmp_path, index, message):
    folder = tmp_path / "train/input_crops.lmdb"
    folder.mkdir(parents=True)
    (folder / "data.mdb").write_bytes(b"no database" * 1000)
    if index:
        (folder / "meta_info.txt").write_text(index)
    refused(tmp_path, message)


def test_pictures_side_by_side_are_halved_on_request(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(4):
        sharp = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
        (tmp_path / "train").mkdir(exist_ok=True)
        Image.fromarray(np.concatenate([sharp // 2, sharp], axis=1)).save(tmp_path / f"train/{number}.png")
    refused(tmp_path, "shows one scene twice, side by side: --as side-by-side")
    pairs = open_source(tmp_path, kind="side-by-side").splits["train"]
    assert len(pairs) == 4
    for pair in measure_pairs(pairs):
        assert pair.size == picture_size(pair.blur) == (32, 24)
        np.testing.assert_array_equal(read_picture(pair.blur), read_picture(pair.sharp) // 2)


def refused(root, *parts, **options):
    with pytest.raises(InputError) as caught:
        open_source(root, **options)
    for part in parts:
        assert part in str(caught.value)


def test_blurred_pictures_alone_are_no_photos(make_tree):
    refused(make_tree([], "blur/1.png", "blur/2.png"), "no sharp ones below", "--sharp NAME")
    refused(make_tree([], "blur/1.png") / "blur", "'blur' in its path means blurred", "--as photos")


@pytest.mark.parametrize("name", ["1_blur.png", "blurred-1.png"])
def test_a_name_that_means_blurred_is_no_photo(make_tree, name):
    refused(make_tree([], f"holiday/{name}", "holiday/2.png"), "blurred pictures in", "no sharp ones")


def test_parallel_folders_of_unknown_names_are_no_photos(make_tree):
    root = make_tree([], *[f"{folder}/{n}.png" for folder in ("shaken", "tripod") for n in range(4)], "tripod/5.png")
    refused(root, "shaken and tripod hold pictures of the same names", "shaken/  4 pictures", "tripod/  5 pictures")
    refused(root, "--blur shaken --sharp tripod", "--as photos")
    assert open_source(root, kind="photos").synthesised


def test_names_that_the_user_gives(make_tree):
    root = make_tree([[f"shaken/{n}.png", f"tripod/{n}.png"] for n in range(3)])
    pairs = open_source(root, blur="Shaken", sharp="tripod").splits[""]
    assert [level_of(pair.sharp) - 2 * level_of(pair.blur) for pair in pairs] == [0, 0, 0]
    refused(root, "No folder below", "--blur handheld", blur="handheld")


def test_photos_are_photos(make_tree):
    photos = [
        "2019/a.png",
        "2020/b.png",
        "train/c.png",
        "clear-lake.png",
        "target-practice.png",
        "input.png",
        "A/d.png",
    ]
    source = open_source(make_tree([], *photos))
    assert source.synthesised
    assert "sharp photos" in source.summary
    assert "blurred here by synthesis, difficulty quick" in source.summary


def test_photos_in_folders_for_splits_may_have_the_same_names(make_tree):
    source = open_source(make_tree([], *[f"{split}/{n}.png" for split in ("Train", "test") for n in range(3)]))
    assert {split: len(found) for split, found in source.photos.items()} == {"train": 3, "test": 3}


def test_what_must_be_pairs_and_is_not_understood(make_tree):
    refused(
        make_tree([], "x/1.png", "y/2.png"), "no folder and no file name in it means blurred or sharp", kind="pairs"
    )


def test_no_pictures_at_all(tmp_path):
    refused(tmp_path, "No pictures in")


def test_two_pairs_are_too_few_to_divide(make_tree):
    source = open_source(make_tree([[f"blur/{n}.png", f"sharp/{n}.png"] for n in range(2)]))
    assert len(source.pairs("all")) == 2
    with pytest.raises(InputError, match=r"At least 3 are needed .*--split all"):
        source.pairs("val")


def test_too_few_photos_to_divide_are_not_said_to_have_a_split_all(make_tree):
    """They have none: the advice would be refused."""
    with pytest.raises(InputError, match=r"At least 3 are needed to hold some out$"):
        open_source(make_tree([], "1.png", "2.png")).pairs("val")


@pytest.mark.parametrize(
    ("name", "reading"),
    [
        ("train_blur", Reading("train", "blur", "blur")),
        ("Validation", Reading("val", "", "")),
        ("input_crops.lmdb", Reading(None, "input_crops_lmdb", "input")),
        ("GOPR0384_11_00", Reading(None, "gopr_0384_11_00", "gopr")),
        ("BlurImages_2", Reading(None, "blur_images_2", "blur")),
        ("trainset2", Reading("train", "2", "")),
        ("GoPro_test", Reading("test", "go_pro", "go_pro")),
        ("test_train", Reading(None, "test_train", "test_train")),
        ("Motion Blurred", Reading(None, "motion_blurred", "motion_blurred")),
    ],
)
def test_words_of_a_folder(name, reading):
    assert read_name(name) == reading


@pytest.mark.parametrize(
    ("stem", "bare"),
    [
        *(("blur_1", "1"), ("gt_1", "1"), ("0_blur", "0"), ("3_HONOR_S", "3_honor_s"), ("Blur7", "7")),
        *(("real_blur", ""), ("gt_sharp", ""), ("a_1", "a_1"), ("s", "s")),
    ],
)
def test_bare_stems(stem, bare):
    assert Names().bare_stem(stem) == bare
    assert Names().bare_stem("3_HONOR_S", endings=True) == "3_honor"


def test_frames_of_one_sequence_are_known_by_their_names(make_tree):
    """MPRNet's names hold the sequence, so that validation is held out by sequence there, too."""
    root = make_tree([[f"{kind}/GOPR03{n % 4}_07_00-00004{n}.png" for kind in ("input", "target")] for n in range(8)])
    source = open_source(root)
    train, val = ({pair.sequence for pair in source.pairs(split)} for split in ("train", "val"))
    assert len(train | val) > 1
    assert not train & val


@pytest.mark.parametrize(
    ("train", "test"),
    [
        *(
            ("train_data", "test_data"),
            ("trainset", "evalset"),
            ("Training Set", "Test Set"),
            ("GoPro_train", "GoPro_test"),
        ),
        *(
            ("train_256", "test_256"),
            ("train1", "test1"),
            ("1_train", "2_test"),
            ("training/X/train", "training/X/test"),
        ),
    ],
)
def test_folders_that_differ_in_the_split_alone_are_splits(make_tree, train, test):
    pairs = [[f"{folder}/{kind}/{n}.png" for kind in ("blur", "sharp")] for folder in (train, test) for n in range(3)]
    assert_holds(make_tree(pairs), train=3, test=3)


def test_pairs_of_no_split_beside_those_of_one_are_refused(make_tree):
    pairs = [
        [f"{folder}/{kind}/{n}.png" for kind in ("blur", "sharp")] for folder in ("train", "other") for n in range(2)
    ]
    refused(make_tree(pairs), "2 train and 2 pairs", "such as other/blur/0.png", "below a folder train/, val/ or test/")


def test_halves_of_no_split_beside_those_of_one_are_refused(make_tree):
    root = make_tree([], "train/a.png", "test/b.png", "new/c.png")
    refused(root, "such as new/c.png", "others are in train and test", kind="side-by-side")


def test_photos_outside_folders_for_splits_are_named(make_tree):
    source = open_source(make_tree([], "train/a.png", "val/b.png", "cars/c.png"))
    assert {split: len(found) for split, found in source.photos.items()} == {"train": 1, "val": 1}
    assert "not used: 1 in no folder for a split, such as cars/c.png" in source.summary


@pytest.mark.parametrize(
    ("reason", "paths"),
    [
        ("no blurred ones below", ["sharp/1.png", "mask/1.png"]),
        ("no blurred ones below", ["image/1.png", "gt/1.png"]),
        ("no blurred ones below", ["train/1.png", "test/GT/1.png"]),
        ("blur/1_m.png has no sharp twin", ["blur/1_m.png", "blur/2_f.png", "sharp/1_f.png", "sharp/2_f.png"]),
        ("pictures of the same names", [f"{album}/IMG_{n}.png" for album in "ABCD" for n in range(2)]),
        ("pictures of the same names", ["Home/IMG_1.png", "Italy/IMG_1.png", "Rome/IMG_1.png"]),
        ("means blurred", ["IMG_1_blur_k5.png", "IMG_2.png"]),
        ("'blur' means that", ["imgBlur1.png", "IMG_2.png"]),
        ("the same but for a word", ["1.png", "1_gt.png", "2.png", "2_gt.png"]),
        ("the same but for a word", ["01_in.png", "01_out.png", "02_in.png", "02_out.png"]),
        ("the same but for a word", ["1_HONOR_M.jpg", "1_HONOR_S.jpg"]),
        ("the same but for a word", ["1.png", "sharp_1.png", "2.png", "sharp_2.png"]),
        ("the same but for a word", ["gt_1.png", "inp_1.png", "gt_2.png", "inp_2.png"]),
        ("the same but for a word", ["b_01.png", "s_01.png"]),
        ("pictures of the same names", ["A/1_A.png", "A/2_A.png", "B/1_B.png", "B/2_B.png"]),
        ("pictures of the same names", ["bad/01_bad.png", "good/01_good.png"]),
        ("pictures of the same names", ["noisy/n01.png", "ref/r01.png"]),
        ("means blurred", ["Artificially-Blurred/a.png", "Undistorted/b.png"]),
        ("means blurred", ["gaussian_blur/a.png", "x/b.png"]),
        ("means blurred", ["out_of_focus/a.png", "x/b.png"]),
    ],
)
def test_what_could_be_pairs_of_some_kind_is_refused(make_tree, reason, paths):
    refused(make_tree([], *paths), reason)


def test_a_folder_below_blurred_ones_is_refused(make_tree):
    root = make_tree([], "x_blur/000/RGB/1.png", "blur_gamma/2.png", "holiday deblurring/3.png")
    refused(root / "blur_gamma", "'blur_gamma' in its path means blurred")
    assert open_source(root / "holiday deblurring").synthesised


def test_a_split_without_sharp_pictures_is_left_out(make_tree):
    """REDS publishes no sharp pictures for its test part."""
    pairs = [[f"train/train_{kind}/000/{n}.png" for kind in ("blur", "sharp")] for n in range(3)]
    root = make_tree(pairs, "test/test_blur/000/1.png")
    assert_holds(root, train=3)
    assert "not used: 1 other, such as test/test_blur/000/1.png" in open_source(root).summary


def test_words_that_are_there_twice(make_tree):
    assert_holds(
        make_tree([[f"{k}/train/{k}/000/{n}.png" for k in ("train_blur", "train_sharp")] for n in range(3)]), train=3
    )


def test_numbers_after_words(make_tree):
    assert_holds(make_tree([[f"val/{kind}_300/{n}.png" for kind in ("blur", "sharp")] for n in range(3)]), val=3)


def test_a_weak_word_inside_a_strong_one(make_tree):
    assert_holds(make_tree([[f"input/train/{kind}/{n}.png" for kind in "AB"] for n in range(3)]), train=3)


def test_bsds_raw_frames_are_left_alone(make_tree):
    pairs = [[f"train/000/{kind}/RGB/{n}.png" for kind in ("Blur", "Sharp")] for n in range(3)]
    root = make_tree(pairs, *[f"train/000/{kind}/Raw/{n}.png" for kind in ("Blur", "Sharp") for n in range(3)])
    assert_holds(root, train=3)


@pytest.mark.parametrize("name", ["raw/{}/{}.png", "{}/Raw/{}.png", "RAW/{}/raw/{}.png"])
def test_folders_called_raw_with_nothing_beside_them_are_read(make_tree, name):
    assert_holds(make_tree([[name.format(kind, n) for kind in ("blur", "sharp")] for n in range(3)]), unnamed=3)


def test_a_side_may_be_called_raw(make_tree):
    root = make_tree([[f"{kind}/{n}.png" for kind in ("raw", "retouched")] for n in range(3)])
    assert len(open_source(root, blur="raw", sharp="retouched").splits[""]) == 3


def test_system_folders_and_loops_are_passed_over(make_tree):
    root = make_tree([[f"{kind}/{n}.png" for kind in ("blur", "sharp")] for n in range(3)])
    for folder in (".ipynb_checkpoints", "@eaDir", "__MACOSX", ".Trash-1000/files"):
        save(root / "blur" / folder / "1.png", 3)
    (root / "blur/loop").symlink_to(root)
    assert_holds(root, unnamed=3)


@pytest.mark.parametrize(("kept", "linked"), [("test", "valid"), ("valid", "test")])
def test_a_split_may_link_to_the_folders_of_another(make_tree, kept, linked):
    """As where the test pictures are for validation, too. Neither may be missing, whatever comes first on the disk."""
    root = make_tree(by_split(TREES["MPRNet"], ["train", kept]))
    for kind in ("input", "target"):
        (root / linked).mkdir(exist_ok=True)
        (root / linked / kind).symlink_to(f"../{kept}/{kind}")
    found = open_source(root).splits
    assert {split: len(pairs) for split, pairs in found.items()} == {"train": 3, "val": 3, "test": 3}


@pytest.mark.parametrize("link", ["2022-best", "best"])
def test_pairs_that_links_lead_to_again_count_once(make_tree, link):
    root = make_tree([[f"2023/{kind}/{n}.png" for kind in ("blur", "sharp")] for n in range(3)])
    (root / link).symlink_to("2023")
    source = open_source(root)
    assert [pair.sequence for pair in source.splits[""]] == ["2023"] * 3
    assert "3 that links lead to again count once" in source.summary


def test_photos_that_links_lead_to_again_count_once(make_tree):
    root = make_tree([], *[f"2023/{n}.png" for n in range(3)])
    (root / "all").symlink_to("2023")
    (root / "best").mkdir()
    (root / "best/favourite.png").symlink_to("../2023/1.png")
    source = open_source(root, kind="photos")
    assert source.photos[""] == [root / f"2023/{n}.png" for n in range(3)]
    assert "4 that links lead to again count once" in source.summary
    halves = open_source(root, kind="side-by-side")
    assert [pair.sequence for pair in halves.splits[""]] == ["2023"] * 3


def test_folders_that_link_to_each_other(make_tree):
    root = make_tree([], "a/1.png", "b/2.png")
    (root / "a/other").symlink_to("../b")
    (root / "b/other").symlink_to("../a")
    (root / "b/up").symlink_to(root.parent)
    assert open_source(root, kind="photos").photos[""] == [root / "a/1.png", root / "b/2.png"]


def test_lists_in_folders_for_splits(make_tree):
    pairs = [[f"{split}/x/{kind}/{n}.png" for kind in ("blur", "gt")] for split in ("train", "test") for n in range(2)]
    root = make_tree(pairs)
    for split in ("train", "test"):
        (root / split / "list.txt").write_text(
            "# blurred sharp\n" + "".join(f"x\\blur\\{n}.png, x/gt/{n}.png\n" for n in range(2))
        )
    assert_holds(root, train=2, test=2)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"train.txt": [0, 1], "test.txt": [1, 2]}, "Lists put .* into two splits, test and train"),
        ({"train.txt": [0, 1], "all.txt": [0, 1, 2]}, "Lists put .* into two splits"),
        ({"train.txt": [0, 1, "and some words"]}, "has a line that does not name two pictures: 'and some words'"),
        ({"train.txt": [0, "/elsewhere/blur/1.png /elsewhere/gt/1.png"]}, "which is not below"),
        ({"train.txt": [0, "../tree/x/blur/1.png ../tree/x/gt/1.png"]}, "which is not below"),
    ],
)
def test_lists_that_cannot_be_right(make_tree, lists, message):
    root = make_tree([[f"x/{kind}/{n}.png" for kind in ("blur", "gt")] for n in range(3)])
    for name, lines in lists.items():
        text = [line if isinstance(line, str) else f"x/gt/{line}.png x/blur/{line}.png" for line in lines]
        (root / name).write_text("\n".join(text))
    with pytest.raises(InputError, match=message):
        open_source(root)


def test_a_list_of_pictures_that_are_not_here_is_passed_over(make_tree):
    root = make_tree([[f"J/{kind}/{n}.png" for kind in ("blur", "gt")] for n in range(3)])
    (root / "J_train_list.txt").write_text("J/gt/0.png J/blur/0.png\nJ/gt/1.png J/blur/1.png\n")
    (root / "R_train_list.txt").write_text("R/gt/0.png R/blur/0.png\n")
    assert_holds(root, train=2)
    assert "R_train_list.txt is not heeded: none of its pictures are here" in open_source(root).summary
    assert "not used: 2 other" in open_source(root).summary


def test_many_albums_with_one_name_in_common_are_no_pairs(tmp_path):
    paths = [tmp_path / f"album{n}/{name}.jpg" for n in range(1000) for name in ("cover", f"a{n}", f"b{n}")]
    assert unnamed.parallel_folders(tmp_path, paths) is None
    shaken = [tmp_path / f"shaken/a{n}.jpg" for n in range(10)]
    tripod = [tmp_path / f"tripod/a{n}.jpg" for n in range(5)]
    assert unnamed.parallel_folders(tmp_path, [*paths[:90], *shaken, *tripod]) == (
        tmp_path / "shaken",
        tmp_path / "tripod",
    )
