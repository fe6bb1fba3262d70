"""deblur.py: which file goes where, what is kept, and what does not stop the others."""

import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers import ROOT, assert_one_line_error, read_pixels, run_script, run_script_here, save_picture
from PIL import Image

from unet_deblur_tf.data import photos
from unet_deblur_tf.errors import InputError, Stopped
from unet_deblur_tf.models import pretrained
from unet_deblur_tf.restoring.deblur import deblur, restore_jobs
from unet_deblur_tf.restoring.jobs import find_jobs
from unet_deblur_tf.restoring.restorer import Restorer

COLOUR = np.random.default_rng(11).integers(0, 256, (24, 36, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A folder as people have them: good, bad, hidden, below."""
    root = tmp_path / "holiday"
    (root / "day 2").mkdir(parents=True)
    for name in ("a.jpg", "b.png", "day 2/c.png"):
        Image.fromarray(COLOUR).save(root / name)
    (root / "text.png").write_text("no picture")
    (root / "short.jpg").write_bytes((root / "a.jpg").read_bytes()[:400])
    (root / "notes.txt").write_text("bread, milk")
    (root / ".hidden.png").write_bytes((root / "b.png").read_bytes())
    return root


def test_the_command_goes_on_after_bad_files_and_names_them(folder, inverter, tmp_path):
    done = run_script("deblur.py", "holiday", "gone.png", "--recursive", "--compare", "--model", inverter, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    made = sorted(str(path.relative_to(tmp_path / "restored")) for path in (tmp_path / "restored").rglob("*.*"))
    names = ["a.jpg", "b.png", "day 2/c.png"]
    assert made == sorted([*names, *(f"{name}_compare.png" for name in names)])
    assert "3 restored in restored/" in done.stdout
    failures = done.stderr[done.stderr.index("3 could not be restored") :]
    for part in (
        "holiday/text.png cannot be read as a picture: its format is not known",
        "holiday/short.jpg cannot be read",
        "gone.png: there is no such file",
    ):
        assert part in failures
    for name in ("b.png", "day 2/c.png"):
        np.testing.assert_array_equal(read_pixels(tmp_path / "restored" / name), 255 - COLOUR)
    # 36 pixels are enlarged nine times, to at least 320.
    comparison = read_pixels(tmp_path / "restored/b.png_compare.png")
    np.testing.assert_array_equal(comparison[6 : 6 + 216 : 9, 6 : 6 + 324 : 9], COLOUR)
    np.testing.assert_array_equal(comparison[6 : 6 + 216 : 9, 336 : 336 + 324 : 9], 255 - COLOUR)


def test_results_are_not_replaced_unless_asked(folder, inverter, tmp_path):
    arguments = dict(model=inverter, output=tmp_path / "out", progress=False)
    deblur(folder / "b.png", **arguments)
    (tmp_path / "out/b.png").write_text("edited since")
    outcome = deblur(folder / "b.png", **arguments)
    assert outcome == ({}, {folder / "b.png": tmp_path / "out/b.png"}, {})
    assert (tmp_path / "out/b.png").read_text() == "edited since"
    assert deblur(folder / "b.png", overwrite=True, **arguments).written
    np.testing.assert_array_equal(read_pixels(tmp_path / "out/b.png"), 255 - COLOUR)


def test_a_link_to_itself_and_a_pipe_do_not_stop_the_others(folder, inverter, tmp_path):
    (folder / "loop.png").symlink_to("loop.png")
    os.mkfifo(folder / "pipe.png")
    names = [folder / name for name in ("loop.png", "pipe.png", "b.png")]
    outcome = deblur(names, inverter, tmp_path / "out", progress=False)
    assert outcome.failed == {names[0]: "there is no such file", names[1]: "cannot be looked at: it is no file"}
    assert outcome.written == {names[2]: tmp_path / "out/b.png"}


def test_originals_are_never_replaced(folder, inverter):
    before = (folder / "b.png").read_bytes()
    outcome = deblur(folder / "b.png", inverter, folder, overwrite=True, progress=False)
    assert "would replace an original" in outcome.failed[folder / "b.png"]
    assert (folder / "b.png").read_bytes() == before


def test_two_inputs_of_one_name(folder, inverter, tmp_path):
    shutil.copy(folder / "b.png", folder / "day 2/b.png")
    outcome = deblur([folder / "b.png", folder / "day 2/b.png"], inverter, tmp_path / "out", progress=False)
    assert list(outcome.written) == [folder / "b.png"]
    assert "would replace the result of" in outcome.failed[folder / "day 2/b.png"]


def test_patterns_and_folders(folder, inverter, tmp_path):
    found = deblur(str(folder / "**/*.png"), inverter, tmp_path / "out", progress=False)
    assert {path.name for path in found.written} == {"b.png", "c.png"}
    found = deblur(folder, inverter, tmp_path / "flat", progress=False)
    assert {path.name for path in found.written} == {"a.jpg", "b.png"}


def test_nothing_to_restore(inverter, tmp_path):
    (tmp_path / "empty").mkdir()
    done = run_script_here("deblur.py", "empty", "--model", inverter, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("deblur.py: error: No pictures in")


def test_without_a_model_of_ones_own_the_packages_is_taken(folder, tmp_path):
    done = run_script_here("deblur.py", folder / "b.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    default = pretrained.manifest()["default"]
    named = deblur(folder / "b.png", default, tmp_path / "named", progress=False).written[folder / "b.png"]
    np.testing.assert_array_equal(Image.open(tmp_path / "restored/b.png"), Image.open(named))
    assert (np.asarray(Image.open(named)) != np.asarray(Image.open(folder / "b.png"))).any()


def test_the_packages_network_is_taken_whatever_was_trained_here(trained_here):
    save_picture(trained_here / "photo.png", COLOUR)
    done = run_script_here("deblur.py", "photo.png", cwd=trained_here)
    assert done.returncode == 0, done.stderr
    assert f"{pretrained.find()}, pooling none" in done.stdout
    restored = read_pixels(trained_here / "restored/photo.png")
    np.testing.assert_array_equal(restored, Restorer(pretrained.manifest()["default"])(COLOUR))
    assert np.abs(restored - (255.0 - COLOUR)).mean() > 50


def test_latest_is_the_network_that_was_trained_here_last(trained_here):
    save_picture(trained_here / "photo.png", COLOUR)
    shutil.copytree(trained_here / "saved_models/inverter", trained_here / "saved_models/before")
    os.utime(trained_here / "saved_models/before/1", (1e9, 1e9))
    done = run_script_here("deblur.py", "photo.png", "--model", "latest", cwd=trained_here)
    assert done.returncode == 0, done.stderr
    assert "saved_models/inverter/1, pooling none" in done.stdout
    np.testing.assert_array_equal(read_pixels(trained_here / "restored/photo.png"), 255 - COLOUR)


def test_latest_where_nothing_was_trained(tmp_path):
    save_picture(tmp_path / "photo.png", COLOUR)
    done = run_script_here("deblur.py", "photo.png", "--model", "latest", cwd=tmp_path)
    assert_one_line_error(done, "there is no trained network under saved_models/")
    assert list((tmp_path / "restored").iterdir()) == []


def test_comparisons_replace_nothing(folder, inverter, tmp_path):
    precious = folder / "a.jpg_compare.png"
    shutil.copy(folder / "b.png", precious)
    outcome = deblur([folder / "a.jpg", precious], inverter, folder.parent / "out", compare=True, progress=False)
    assert "would replace" in outcome.failed[precious]
    outcome = deblur(folder, inverter, folder, compare=True, overwrite=True, progress=False)
    assert not outcome.written
    assert precious.read_bytes() == (folder / "b.png").read_bytes()
    kept = tmp_path / "other/b.png_compare.png"
    kept.parent.mkdir()
    kept.write_text("mine")
    assert deblur(folder / "b.png", inverter, kept.parent, compare=True, progress=False).written
    assert kept.read_text() == "mine"


def test_results_are_not_restored_again(folder, inverter, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    for given in (".", "**/*.png", "."):
        outcome = deblur(given, inverter, recursive=True, compare=True, progress=False)
        assert not any("restored" in path.parts for path in [*outcome.written, *outcome.kept, *outcome.failed])
    assert not outcome.written
    assert {path.name for path in outcome.kept} == {"a.jpg", "b.png", "c.png"}


def test_one_file_given_twice(folder, inverter, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    outcome = deblur(["b.png", folder / "b.png", "./b.png"], inverter, tmp_path / "out", progress=False)
    assert len(outcome.written) == 1
    assert not outcome.failed


@pytest.mark.parametrize("given", ["", "x" * 300])
def test_arguments_that_are_no_files(given, folder, inverter, tmp_path):
    outcome = deblur([given, folder / "b.png"], inverter, tmp_path / "out", progress=False)
    assert len(outcome.failed) == len(outcome.written) == 1


def test_a_network_that_fails_does_not_stop_the_others(folder, inverter, tmp_path, monkeypatch):
    def broken(*_):
        raise MemoryError("too much")

    monkeypatch.setattr(Restorer, "__call__", broken)
    outcome = deblur(folder, inverter, tmp_path / "out", progress=False)
    assert outcome.failed[folder / "b.png"] == "MemoryError: too much"
    assert outcome.failed[folder / "a.jpg"] == "MemoryError: too much"


def test_a_signal_stops_all(folder, inverter, tmp_path, monkeypatch):
    """It is not taken for the failure of the picture that it came in."""

    def terminated(*_):
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr(Restorer, "__call__", terminated)
    with pytest.raises(Stopped):
        deblur(folder, inverter, tmp_path / "out", progress=False)
    monkeypatch.setattr(photos.Image, "open", terminated)
    with pytest.raises(Stopped):
        photos.read_photo(folder / "b.png")


def test_a_folder_that_cannot_be_written(folder, inverter, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="Cannot write to"):
        deblur(folder / "b.png", inverter, tmp_path / "out", progress=False)


def test_what_was_written_meanwhile_is_not_replaced(folder, inverter, tmp_path):
    """By another process, or because a file system takes a.png and A.PNG for the same."""
    jobs = find_jobs(folder / "b.png", tmp_path / "out")
    (tmp_path / "out/b.png").write_text("of another process")
    options = dict(compare=False, quality=95, allow_large=False, allow_damaged=False, progress=False)
    outcome = restore_jobs(jobs, model=inverter, overwrite=False, **options)
    assert "which was written meanwhile" in outcome.failed[folder / "b.png"]
    assert (tmp_path / "out/b.png").read_text() == "of another process"
    assert restore_jobs(jobs, model=inverter, overwrite=True, **options).written


def test_an_original_is_known_by_any_of_its_names(folder, inverter, tmp_path):
    (tmp_path / "out").mkdir()
    os.link(folder / "a.jpg", tmp_path / "out/b.png")  # as A.JPG is where case is ignored
    outcome = deblur([folder / "b.png", folder / "a.jpg"], inverter, tmp_path / "out", overwrite=True, progress=False)
    assert "would replace an original" in outcome.failed[folder / "b.png"]


def test_names_that_are_not_valid_utf_8(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    for place in ("in", "out"):
        save_picture(tmp_path / place / name, COLOUR)
    command = [sys.executable, ROOT / "deblur.py", "in", "--output", "out"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONIOENCODING": "utf-8"}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"in/caf\\udce9.png: out/caf\\udce9.png is there already" in done.stdout
