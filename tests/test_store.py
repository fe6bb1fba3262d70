"""Where decoded pictures are kept: the same bytes from every store, nothing kept that should not be, what is chosen."""

import threading

import numpy as np
import pytest

from unet_deblur_tf.configs import CACHES
from unet_deblur_tf.data import store
from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.data.store import Centres, InMemory, LRUStore, OnDisk, PictureStore, choose_cache, open_store
from unet_deblur_tf.data.trees.tree import find_pairs
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils.hardware import CONTROL_GROUPS, control_groups, free_disk, free_memory


@pytest.fixture
def pairs(tmp_path, save_picture):
    """Nine pairs of random pictures of three sizes."""
    rng = np.random.default_rng(0)
    for number in range(9):
        for folder in ("blur", "sharp"):
            content = rng.integers(0, 256, (20 + number % 3, 30, 3), np.uint8)
            save_picture(tmp_path / f"pairs/{folder}/{number}.png", content)
    return find_pairs(tmp_path / "pairs")[""]


@pytest.mark.parametrize("cache", CACHES)
def test_every_store_gives_the_files_bytes(pairs, cache, tmp_path):
    kept = open_store(pairs, cache, tmp_path / "cache")
    for number in [*range(9), 3, 0, 8] * 20:
        pictures = kept.load(number)
        np.testing.assert_array_equal(pictures[0], read_picture(pairs[number].blur))
        np.testing.assert_array_equal(pictures[1], read_picture(pairs[number].sharp))


@pytest.fixture
def decodings(monkeypatch):
    """Counts how often a file is decoded."""
    paths = []
    real = store.read_picture

    def counting(path):
        paths.append(path.name)
        return real(path)

    monkeypatch.setattr(store, "read_picture", counting)
    return paths


def test_memory_decodes_once(pairs, decodings):
    kept = InMemory(pairs)
    for number in [*range(9)] * 3:
        kept.load(number)
    assert len(decodings) == 18


def test_of_large_pictures_the_centre_is_kept(pairs):
    kept = Centres(pairs, 16).load(7)
    assert kept.base is None  # not a part of the whole pictures, which would stay in memory
    np.testing.assert_array_equal(kept[1], read_picture(pairs[7].sharp)[2:18, 7:23])  # of 21x30
    np.testing.assert_array_equal(Centres(pairs).load(7)[1], read_picture(pairs[7].sharp))


def test_without_a_cache_only_what_fits_in_memory_is_kept(pairs, decodings, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "free_memory", lambda: 3 * 2 * 3 * 30 * 22 / store.SHARE)  # three of the largest
    kept = open_store(pairs, "none", tmp_path)
    for number in (0, 1, 2, 0, 1, 2, 3, 0):
        kept.load(number)
    assert decodings[::2] == ["0.png", "1.png", "2.png", "3.png", "0.png"]


def test_only_recent_pictures_are_kept(pairs, decodings):
    kept = LRUStore(pairs, keep=4)
    for number in (0, 1, 2, 3, 0, 4, 0, 1):
        kept.load(number)
    # Number 4 took the place of number 1, the one not used for longest.
    assert decodings[::2] == ["0.png", "1.png", "2.png", "3.png", "4.png", "1.png"]


def test_threads_that_want_one_picture_decode_it_once(pairs, decodings):
    kept = LRUStore(pairs)
    threads = [threading.Thread(target=kept.load, args=(5,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decodings) == 2


def test_the_disk_cache_is_found_again(pairs, decodings, tmp_path):
    first = OnDisk(pairs, tmp_path / "cache")
    assert len(decodings) == 18
    assert first.path.stat().st_size == sum(2 * 3 * 30 * (20 + number % 3) for number in range(9))
    again = OnDisk(pairs, tmp_path / "cache")
    assert len(decodings) == 18
    np.testing.assert_array_equal(first.load(7), again.load(7))


def test_a_disk_cache_cut_short_is_made_anew(pairs, tmp_path):
    path = OnDisk(pairs, tmp_path / "cache").path
    path.write_bytes(path.read_bytes()[:5000])
    np.testing.assert_array_equal(OnDisk(pairs, tmp_path / "cache").load(8)[0], read_picture(pairs[8].blur))


@pytest.mark.parametrize("pool", [2, 6])
def test_without_a_cache_a_picture_is_decoded_once_for_all_its_windows(pairs, decodings, tmp_path, pool):
    from unet_deblur_tf.data.pipeline import picture_numbers

    kept = open_store(pairs, "none", tmp_path, pool)
    for number in picture_numbers(np.arange(9 * 8 * 5), 9, pool=pool, crops_per_picture=8):
        kept.load(number)
    assert len(decodings) <= 2 * (9 * 5 + pool)


def test_a_changed_picture_is_decoded_anew(pairs, save_picture, tmp_path):
    before = OnDisk(pairs, tmp_path / "cache")
    save_picture(pairs[2].sharp, np.full((22, 30, 3), 7, np.uint8))
    after = OnDisk(pairs, tmp_path / "cache")
    assert after.path != before.path
    assert (after.load(2)[1] == 7).all()


def test_an_interrupted_disk_cache_leaves_nothing(pairs, tmp_path):
    data = pairs[6].blur.read_bytes()
    pairs[6].blur.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"blur/6\.png cannot be read"):
        OnDisk(pairs, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_full_disk_is_named(pairs, tmp_path, monkeypatch):
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr(store, "make_folder", lambda path: None)
    monkeypatch.setattr(store, "write_by_rename", full_disk)
    with pytest.raises(InputError, match=r"No space left on device\. Try --cache none"):
        OnDisk(pairs, tmp_path / "cache")


def full_disk(path):
    import contextlib

    return contextlib.nullcontext("/dev/full")


def test_twins_of_different_size_are_named(pairs, save_picture):
    save_picture(pairs[1].sharp, (9, 9))
    kept = PictureStore(pairs)
    with pytest.raises(InputError, match=r"blur/1.png is \(21, 30, 3\) but its twin .*sharp/1.png is \(9, 9, 3\)"):
        kept.load(1)
    assert "twin" in str(kept.error)


@pytest.mark.parametrize(
    ("memory", "disk", "choice"),
    [(34_020 * 2.5 + 1, 0, "memory"), (34_020 * 2.5 - 1, 1e9, "disk"), (1000, 1000, "none")],
)
def test_what_fits_is_chosen(pairs, tmp_path, monkeypatch, memory, disk, choice):
    assert sum(2 * 3 * 30 * (20 + number % 3) for number in range(9)) == 34_020
    monkeypatch.setattr(store, "free_memory", lambda: memory)
    monkeypatch.setattr(store, "free_disk", lambda folder: disk)
    cache, reason = choose_cache(pairs, tmp_path)
    assert cache == choice
    assert "decoded pictures take 0.0 MB" in reason


def test_a_disk_cache_that_is_there_is_used_however_full_the_disk(pairs, tmp_path, monkeypatch):
    OnDisk(pairs, tmp_path)
    monkeypatch.setattr(store, "free_memory", lambda: 0)
    monkeypatch.setattr(store, "free_disk", lambda folder: 0)
    assert choose_cache(pairs, tmp_path)[0] == "disk"


def test_free_memory_heeds_a_container(tmp_path):
    (tmp_path / "limit").write_text("3000000\n")
    (tmp_path / "usage").write_text("1000000\n")
    (tmp_path / "none").write_text("max\n")
    machine = free_memory({})
    assert machine > 3_000_000
    assert free_memory({tmp_path / "limit": tmp_path / "usage"}) == 2_000_000
    assert free_memory({tmp_path / "usage": tmp_path / "limit"}) == 0
    # Files that were read stay in memory as long as there is room.
    for name in ("inactive_file", "total_inactive_file"):
        (tmp_path / "memory.stat").write_text(f"anon 600000\n{name} 400000\nactive_file 5\n")
        assert free_memory({tmp_path / "limit": tmp_path / "usage"}) == 2_400_000
    assert abs(free_memory({tmp_path / "none": tmp_path / "usage", tmp_path / "absent": ""}) - machine) < 1e9


def test_free_memory_heeds_the_jobs_of_a_cluster(tmp_path):
    """The groups of a process, as Slurm and systemd make them, in both versions; a limit holds for what is inside."""
    (tmp_path / "own").write_text("4:cpu,memory:/slurm/job_7\n1:cpu:/elsewhere\n0::/user.slice/run.scope\n")
    groups = control_groups(tmp_path / "own", "/groups")
    assert groups["/groups/user.slice/run.scope/memory.max"] == "/groups/user.slice/run.scope/memory.current"
    assert groups["/groups/user.slice/memory.max"] == "/groups/user.slice/memory.current"
    v1 = "/groups/memory/slurm/job_7/memory"
    assert groups[f"{v1}.limit_in_bytes"] == f"{v1}.usage_in_bytes"
    assert not [limit for limit in groups if "elsewhere" in limit]
    assert control_groups(tmp_path / "none") == CONTROL_GROUPS


def test_free_disk_of_a_folder_yet_to_be_made(tmp_path):
    assert free_disk(tmp_path / "a/b/c") == pytest.approx(free_disk(tmp_path), rel=0.1)
