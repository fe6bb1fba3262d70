"""Pairs averaged from the frames of a fast camera."""

import shutil

import numpy as np
import pytest
from PIL import Image

from unet_deblur_tf.data import video_frames
from unet_deblur_tf.data.frames import COUNTS, FrameStore, average, open_frames
from unet_deblur_tf.data.pairs import measure_pairs
from unet_deblur_tf.data.pictures import picture_size, read_picture
from unet_deblur_tf.data.pipeline import training_batches
from unet_deblur_tf.data.sources import open_source
from unet_deblur_tf.data.store import open_store
from unet_deblur_tf.errors import InputError


def write_frames(folder, count, offset=0, size=(40, 48)):
    """Frames of random pixels, but for one corner, which holds the frame's number."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(offset)
    for number in range(count):
        frame = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        frame[:4, :4] = offset + number
        Image.fromarray(frame).save(folder / f"{number}.png")  # no leading zeros: 10 comes after 9, not after 1
    return folder


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    """Four sequences of 30 frames."""
    root = tmp_path_factory.mktemp("frames")
    for index, name in enumerate("ABCD"):
        write_frames(root / name, 30, offset=50 * index)
    return root


@pytest.mark.parametrize("gamma", [1.0, 2.2])
@pytest.mark.parametrize("count", COUNTS)
def test_averages_are_numpys(count, gamma):
    pictures = np.random.default_rng(count).integers(0, 256, (count, 20, 30, 3), dtype=np.uint8)
    expected = ((pictures / 255.0) ** gamma).mean(axis=0) ** (1 / gamma) * 255
    found = average(list(pictures), gamma)
    assert found.dtype == np.uint8
    assert np.abs(found - expected).max() <= 0.5 + 1e-3


def test_averaging_light_is_brighter():
    pictures = [np.full((2, 2, 3), level, np.uint8) for level in (0, 255)]
    assert average(pictures)[0, 0, 0] == 128
    assert average(pictures, 2.2)[0, 0, 0] == round(255 * 0.5 ** (1 / 2.2))


def test_held_out_pairs_are_means_around_their_middle_frames(sequences):
    pairs = open_frames(sequences).pairs("test")
    (name,) = {pair.sequence for pair in pairs}
    frames = {path: read_picture(path) for path in (sequences / name).iterdir()}
    used = []
    for pair in measure_pairs(pairs):
        some = [frames[path].astype(float) for path in pair.blur.paths]
        assert len(some) in COUNTS
        assert pair.blur.paths[len(some) // 2] == pair.sharp
        assert np.abs(read_picture(pair.blur) - np.mean(some, axis=0)).max() <= 0.5
        assert pair.size == picture_size(pair.blur) == (48, 40)
        used += [int(path.stem) for path in pair.blur.paths]
    assert used == sorted(set(used))  # end to end, in the order of the numbers


def test_no_sequence_is_in_two_splits(sequences):
    source = open_frames(sequences)
    by_split = [{pair.sequence for pair in source.pairs(split)} for split in ("train", "val", "test")]
    assert all(by_split)
    assert sum(map(len, by_split)) == len(set.union(*by_split)) == 4


def test_folders_name_the_splits(tmp_path):
    for split in ("train", "validation", "test"):
        write_frames(tmp_path / f"{split}/GOPR0{len(split)}", 20)
    source = open_frames(tmp_path)
    assert [{pair.sequence for pair in source.pairs(split)} for split in ("train", "val", "test")] == [
        {"GOPR05"}, {"GOPR010"}, {"GOPR04"},
    ]  # fmt: skip


def test_one_sequence_is_divided_by_time(tmp_path):
    write_frames(tmp_path / "A", 45)
    source = open_frames(tmp_path)
    numbers = {}
    for split in ("train", "val", "test"):
        paths = {path for pair in source.pairs(split) for path in pair.blur.paths}
        numbers[split] = {int(path.stem) for path in paths}
    assert numbers["train"] == set(range(19))
    assert max(numbers["train"]) < min(numbers["val"]) <= max(numbers["val"]) < min(numbers["test"])


def batches(source, count, seed=0, first_step=0, cache="memory", folder=None):
    pairs = measure_pairs(source.pairs("train"))
    store = source.training_store(open_store(source.kept(pairs), cache, folder), pairs)
    assert isinstance(store, FrameStore)
    stream = training_batches(store, 4, 16, seed, first_step).take(count).as_numpy_iterator()
    return [np.stack(batch) for batch in stream]


def test_training_crops_are_means_of_crops_of_frames(sequences):
    """Each blurred crop must be the mean of 7 to 13 frames around the one whose crop is the sharp one."""
    source = open_frames(sequences)
    pairs = measure_pairs(source.pairs("train"))
    frames = {path: read_picture(path) for pair in pairs for path in pair.blur.paths}
    store = source.training_store(open_store(source.kept(pairs), "memory", None), pairs)
    seen = set()
    for number, chance in ((0, 0.0), (3, 0.3), (17, 0.6), (30, 0.99)):
        blurred, sharp = store.crop(number, (0.5, 0.25), 16, chance)
        top, left = int(0.5 * (40 - 16 + 1)), int(0.25 * (48 - 16 + 1))
        window = np.s_[top : top + 16, left : left + 16]
        np.testing.assert_array_equal(sharp, frames[pairs[number].sharp][window])
        count = COUNTS[int(4 * chance)]
        seen.add(count)
        middle = int(pairs[number].sharp.stem)
        folder = pairs[number].sharp.parent
        some = [
            frames[folder / f"{index}.png"][window] for index in range(middle - count // 2, middle + count // 2 + 1)
        ]
        assert np.abs(blurred - np.mean(some, axis=0)).max() <= 0.5
    assert seen == set(COUNTS)


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_the_stream_depends_on_the_seed_and_the_step_alone(sequences, tmp_path, cache):
    source = open_frames(sequences)
    whole = batches(source, 6)
    rest = batches(source, 3, first_step=3, cache=cache, folder=tmp_path)
    for expected, found in zip(whole[3:], rest, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(batches(source, 1, seed=1)[0], whole[0])


def test_sequences_of_two_sizes(tmp_path):
    """Upright and lying frames, as a telephone films them, have as many bytes."""
    write_frames(tmp_path / "frames/train/A", 16)
    write_frames(tmp_path / "frames/train/B", 16, offset=50, size=(48, 40))
    source = open_frames(tmp_path / "frames")
    for found, expected in zip(batches(source, 3, cache="disk", folder=tmp_path), batches(source, 3), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_sequence_that_a_link_leads_to_again_counts_once(tmp_path):
    for name in "ABC":
        write_frames(tmp_path / name, 16)
    (tmp_path / "0-best").symlink_to("B")
    assert [sequence.name for sequence in open_frames(tmp_path).sequences] == ["A", "B", "C"]


def test_frames_are_kept_once(sequences):
    source = open_frames(sequences)
    pairs = measure_pairs(source.pairs("train"))
    kept = source.kept(pairs)
    assert len(kept) == len({frame.path for frame in kept}) == 30 * len({pair.sequence for pair in pairs})


def test_a_video_is_as_its_frames(tmp_path, monkeypatch):
    av = pytest.importorskip("av")
    frames = [np.full((32, 48, 3), 5 * number, np.uint8) for number in range(45)]
    (tmp_path / "videos").mkdir()
    with av.open(str(tmp_path / "videos/slow.mp4"), "w") as video:
        stream = video.add_stream("libx264", rate=240, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for frame in frames:
            video.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        video.mux(stream.encode())
    source = open_source("frames", data_dir=tmp_path / "videos", cache_dir=tmp_path / "cache")
    pairs = source.pairs("train")
    levels = [read_picture(pair.sharp).mean() for pair in pairs]
    np.testing.assert_allclose(levels, [5 * (6 + index) for index in range(len(pairs))], atol=2)
    (folder,) = (tmp_path / "cache").iterdir()
    before = folder.stat().st_mtime_ns
    open_source("frames", data_dir=tmp_path / "videos", cache_dir=tmp_path / "cache")
    assert folder.stat().st_mtime_ns == before  # found again

    def another_is_faster(**options):
        shutil.copytree(folder, tmp_path / "other" / folder.name)
        return mkdtemp(**options)

    mkdtemp = video_frames.tempfile.mkdtemp
    monkeypatch.setattr(video_frames.tempfile, "mkdtemp", another_is_faster)
    open_source("frames", data_dir=tmp_path / "videos", cache_dir=tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == [folder.name]


def refused(message, *arguments, **options):
    with pytest.raises(InputError, match=message):
        open_source("frames", *arguments, **options)


def test_what_is_wrong_with_frames_is_said(tmp_path, sequences):
    refused("needs --data-dir DIR")
    refused("averaged by blur or blur_gamma", data_dir=sequences, blur="blurred")
    write_frames(tmp_path / "few/A", 12)
    refused(r"No frames of a fast camera .*\(the largest has 12 pictures\)", data_dir=tmp_path / "few")
    write_frames(tmp_path / "short/A", 38)
    with pytest.raises(InputError, match="39 in a row are needed"):
        open_source("frames", data_dir=tmp_path / "short").pairs("train")
    with pytest.raises(InputError, match="--split all is for pairs"):
        open_frames(sequences).pairs("all")
    write_frames(tmp_path / "two/train/A", 16)
    write_frames(tmp_path / "two/test/B", 16)
    with pytest.raises(InputError, match=r"nothing for the val split.* needed to hold some out$"):
        open_frames(tmp_path / "two").pairs("val")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/film.mp4").write_bytes(b"no video")
    refused(r"film\.mp4 cannot be read as a video", data_dir=tmp_path / "broken", cache_dir=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_sequences_in_no_split_beside_others_in_one_are_refused(tmp_path):
    for name in ("train/A", "test/B", "extra/C"):
        write_frames(tmp_path / name, 13)
    with pytest.raises(InputError, match=r"in no folder for a split, such as extra/C, beside others"):
        open_frames(tmp_path)


def test_frames_of_two_sizes_in_one_sequence_are_named(tmp_path):
    write_frames(tmp_path / "frames/A", 45)
    write_frames(tmp_path / "frames/B", 45)
    write_frames(tmp_path / "upright", 1, size=(48, 40))
    (tmp_path / "upright/0.png").rename(tmp_path / "frames/B/40.png")
    message = r"frames/B/0\.png is 48x40 but .*frames/B/40\.png is 40x48: .*put those of another size"
    refused(message, data_dir=tmp_path / "frames")


def test_a_damaged_frame_is_named(tmp_path):
    folder = write_frames(tmp_path / "A", 45)
    shutil.copy(folder / "0.png", folder / "5.png")
    (folder / "5.png").write_bytes((folder / "5.png").read_bytes()[:200])
    source = open_frames(tmp_path)
    pairs = measure_pairs(source.pairs("train"))
    store = source.training_store(open_store(source.kept(pairs), "memory", None), pairs)
    with pytest.raises(InputError, match=r"A/5\.png cannot be read"):
        store.crop(0, (0, 0), 16)
    assert "5.png" in str(store.error)


def test_gopros_frames_have_about_the_level_of_gopros_pairs(real_data):
    """In GoPro's `blur` the mean level is that of the sharp picture to 0.5; averaging light makes it brighter."""
    source = open_source("frames", data_dir=real_data / "gopro_240fps")
    (pair,) = source.pairs("test")
    sharp = read_picture(pair.sharp).mean()
    assert abs(read_picture(pair.blur).mean() - sharp) < 0.5
    light = read_picture(pair.blur._replace(gamma=2.2)).mean()
    assert read_picture(pair.blur).mean() < light < sharp + 5


def test_pairs_are_not_taken_for_frames(tmp_path):
    for kind in ("blur", "sharp"):
        write_frames(tmp_path / "A" / kind, 15)
    with pytest.raises(InputError, match=r"A/blur holds blurred pictures, .* For pairs, use --data "):
        open_frames(tmp_path)


def test_short_sequences_are_named(tmp_path):
    write_frames(tmp_path / "A", 50)
    write_frames(tmp_path / "B", max(COUNTS) - 1)
    assert "not used: 1 with fewer than 13 frames, such as B" in open_frames(tmp_path).summary


def test_a_frame_in_two_formats_does_not_count_twice(tmp_path):
    shutil.copy(write_frames(tmp_path / "A", 50) / "7.png", tmp_path / "A/7.bmp")
    with pytest.raises(InputError, match=r"7\.bmp and .*7\.png have the same name"):
        open_frames(tmp_path)


def test_splits_of_sequences_that_are_not_clear(tmp_path):
    for name in ("train_full", "test_small"):
        write_frames(tmp_path / name, 20)
    with pytest.raises(InputError, match="test_small and train_full have words for splits"):
        open_frames(tmp_path)


def test_frames_below_a_folder_called_source_are_frames(tmp_path):
    write_frames(tmp_path / "source/A", 50)
    assert len(open_frames(tmp_path).sequences) == 1
