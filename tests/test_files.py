"""Temporary files: their names, and those that a killed process leaves behind."""

import os
import time

from unet_deblur_tf.utils.files import remove_partial, remove_stale, write_by_rename


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path):
    for name, age in (("train.partial-old", 25), ("train.partial-new", 23), ("train", 100)):
        (tmp_path / name / "blur").mkdir(parents=True)
        for path in (tmp_path / name / "blur", tmp_path / name):
            os.utime(path, (time.time() - 3600 * age,) * 2)
    os.utime(tmp_path / "train.partial-new", (time.time() - 3600 * 100,) * 2)  # what is in it counts too
    (tmp_path / ".decoded.partial-7.raw").touch()
    os.utime(tmp_path / ".decoded.partial-7.raw", (time.time() - 3600 * 25,) * 2)
    remove_stale(tmp_path, "*.partial-*")
    remove_stale(tmp_path, ".decoded*.partial-*")
    assert {path.name for path in tmp_path.iterdir()} == {"train.partial-new", "train"}


def test_of_hidden_files_only_our_own_are_removed(tmp_path):
    with write_by_rename(tmp_path / "film.mp4") as partial:
        names = {".film.partial-7.mp4", ".profile", "film.mp4", partial.name}
        for name in names:
            (tmp_path / name).touch()
            os.utime(tmp_path / name, (time.time() - 3600 * 25,) * 2)
        remove_partial(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == names - {partial.name}
        partial.touch()
        remove_partial(tmp_path)
        assert partial.exists()  # of today


def test_temporary_names_are_short_and_never_shared(tmp_path):
    path = tmp_path / f"{'é' * 125}.jpeg"  # 255 bytes, the longest name there is
    with write_by_rename(path) as first, write_by_rename(path) as second:
        assert first != second
        first.write_text("a")
        second.write_text("b")
    assert path.read_text() == "a"  # whose block ended last
    assert list(tmp_path.iterdir()) == [path]
