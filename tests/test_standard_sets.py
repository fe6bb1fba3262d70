"""Published test sets by name, RealBlur's alignment, and pictures that another program restored."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.metrics
from PIL import Image

from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.data.sources import open_source
from unet_deblur_tf.data.trees.standard_sets import SETS, open_standard_set
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.evaluation.alignment import align, aligned_scores, ssim_map
from unet_deblur_tf.evaluation.evaluate import evaluate, evaluate_sets
from unet_deblur_tf.evaluation.report import table, table_of_sets
from unet_deblur_tf.evaluation.restored_folder import RestoredFolder, common_end
from unet_deblur_tf.evaluation.scoring import score


@pytest.fixture
def sets(make_pairs, tmp_path):
    """A folder of several sets, as people keep them: GoPro and HIDE in MPRNet's layout, RealBlur-J with its lists."""
    frames = [f"test/{name}/{{}}/{number}.png" for name in ("GoPro", "HIDE") for number in range(2)]
    root = make_pairs(*frames, *[f"RealBlur_J/scene00{number}/{{}}/{number}.png" for number in range(3)], root="sets")
    for kind, new in (("blur", "input"), ("sharp", "target")):
        for name in ("GoPro", "HIDE"):
            (root / f"test/{name}/{kind}").rename(root / f"test/{name}/{new}")
    for name, numbers in (("train", [0]), ("test", [1, 2])):
        lines = [f"RealBlur_J/scene00{n}/sharp/{n}.png RealBlur_J/scene00{n}/blur/{n}.png" for n in numbers]
        (root / f"RealBlur_J_{name}_list.txt").write_text("\n".join(lines))
    return root


@pytest.mark.parametrize(("name", "count"), [("gopro", 2), ("hide", 2), ("realblur_j", 2)])
def test_a_set_is_found_below_a_folder_and_its_published_part_is_taken(sets, name, count):
    source = open_source(name, data_dir=sets)
    assert len(source.pairs(SETS[name].split)) == count
    assert source.summary.startswith(SETS[name].title)
    assert f"the published test set has {SETS[name].images} pictures, not 2" in source.summary


def test_folders_that_cannot_be_read_are_passed_over(sets, monkeypatch):
    """Such as `lost+found`, at the top of a disk. Root can read every folder, so the refusal is imitated."""
    (sets / "lost+found").mkdir()
    content = Path.iterdir

    def deny(folder):
        if folder.name == "lost+found":
            raise PermissionError(13, "Permission denied", str(folder))
        return content(folder)

    monkeypatch.setattr(Path, "iterdir", deny)
    assert len(open_source("hide", data_dir=sets).pairs("test")) == 2


def test_hidden_and_system_folders_are_passed_over(sets):
    for name in (".Trash-0", "@eaDir", "__MACOSX"):
        shutil.copytree(sets / "test/HIDE", sets / name / "HIDE")
    assert len(open_source("hide", data_dir=sets).pairs("test")) == 2


def test_a_set_in_a_folder_of_its_own(sets):
    assert len(open_source("hide", data_dir=sets / "test/HIDE").pairs("test")) == 2


def test_reds_is_scored_on_its_validation_part(make_pairs, tmp_path):
    root = make_pairs(*[f"{split}/{{}}/000/{n}.png" for split in ("train", "val") for n in range(3)], root="REDS")
    assert SETS["reds"].split == "val"
    assert len(open_source("reds", data_dir=root.parent).pairs("val")) == 3


@pytest.mark.parametrize(
    ("name", "data_dir", "message"),
    [
        ("hide", None, "--data hide needs --data-dir DIR"),
        ("hide", "nowhere", "No such folder"),
        ("realblur_r", ".", "No folder of RealBlur-R"),
        ("reds", "empty", "No folder of REDS"),
    ],
)
def test_a_set_that_is_not_there(sets, name, data_dir, message):
    (sets / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        open_source(name, data_dir=data_dir and sets / data_dir)


def test_several_sets_make_one_table(sets, tmp_path):
    summaries = evaluate_sets("lite", ["hide", "realblur_j"], data_dir=sets, report=tmp_path / "report")
    assert [summary["protocol"] for summary in summaries.values()] == ["full", "aligned"]
    text = table_of_sets(summaries)
    for name, summary in summaries.items():
        (line,) = (line for line in text.splitlines() if line.startswith(name))
        assert f"{summary['input']['psnr']:.2f} / {summary['input']['ssim']:.4f}" in line
        assert f"{summary['gain']['psnr']:+.2f}" in line
        assert ("(aligned)" in line) is (name == "realblur_j")
        assert json.loads((tmp_path / f"report/{name}/metrics.json").read_text()) == summary


def test_the_same_set_twice_is_refused(sets):
    with pytest.raises(InputError, match="the same twice"):
        evaluate_sets("lite", ["hide", "hide"], data_dir=sets)


def test_reports_of_sets_with_one_name_are_refused(sets, tmp_path):
    for name in ("x", "y"):
        shutil.copytree(sets / "test/HIDE", tmp_path / name / "HIDE")
    with pytest.raises(InputError, match="would have the same folder"):
        evaluate_sets("lite", [str(tmp_path / "x/HIDE"), str(tmp_path / "y/HIDE")], report=tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_scores_of_synthesised_pairs_say_so(save_picture, tmp_path, picture):
    for number in range(3):
        save_picture(tmp_path / f"photos/{number}.png", picture.repeat(2, 0).repeat(2, 1))
    summary = evaluate("lite", tmp_path / "photos", cache_dir=tmp_path / "cache", limit=1)
    assert summary["synthesised"] is True
    assert "blurred here by synthesis, difficulty quick" in table(summary)


@pytest.fixture(scope="module")
def scene_pair():
    """A sharp scene with detail everywhere and a blurred one, uint8 (120, 160, 3)."""
    rng = np.random.default_rng(5)
    noise = rng.uniform(-1, 1, (160, 200, 3)).astype(np.float32)
    # Large shapes, which lead the search, and small ones, which it ends at.
    parts = [cv2.GaussianBlur(noise, (0, 0), size) for size in (8.0, 2.0)]
    sharp = np.clip(127 + sum(weight * part / part.std() for weight, part in zip((40, 20), parts)), 0, 255)
    return sharp, cv2.GaussianBlur(sharp, (0, 0), 1.0)


def cut(picture, top=20, left=20):
    return np.round(picture[top : top + 120, left : left + 160]).astype(np.uint8)


def test_a_shift_costs_nothing_once_aligned(scene_pair):
    sharp, blurred = scene_pair
    in_place = aligned_scores(cut(sharp), cut(blurred))
    shifted = aligned_scores(cut(sharp), cut(blurred, top=18, left=23))
    plain = skimage.metrics.peak_signal_noise_ratio(cut(sharp), cut(blurred, top=18, left=23))
    assert plain < in_place[0] - 5
    assert shifted == pytest.approx(in_place, abs=1.0)


def test_a_factor_of_light_costs_nothing_once_aligned(scene_pair):
    sharp, _ = scene_pair
    psnr, ssim = aligned_scores(cut(sharp), np.round(cut(sharp) * 0.8).astype(np.uint8))
    assert psnr > 45
    assert ssim > 0.995


def test_aligned_scores_are_over_what_both_pictures_show(scene_pair):
    """By hand from the aligned pictures and the mask, SSIM by scikit-image."""
    sharp, blurred = scene_pair
    first, second = cut(sharp), cut(blurred, top=16, left=26)
    picture, truth, mask = align(*(each.astype(np.float32) / 255 for each in (first, second)))
    assert 0.8 < mask.mean() < 0.99
    error = ((picture - truth) ** 2)[mask > 0].mean(dtype=np.float64)
    _, every = skimage.metrics.structural_similarity(
        truth, picture, channel_axis=2, gaussian_weights=True, use_sample_covariance=False, data_range=1.0, full=True
    )
    inside = np.s_[5:-5, 5:-5]
    expected = [(every * mask)[inside][..., channel].sum() / mask[inside][..., channel].sum() for channel in range(3)]
    psnr, ssim = aligned_scores(first, second)
    assert psnr == pytest.approx(-10 * np.log10(error), abs=1e-4)
    assert ssim == pytest.approx(np.mean(expected), abs=1e-4)


def test_the_map_of_ssim_is_scikit_images(scene_pair):
    first, second = (cut(each) / 255 for each in scene_pair)
    _, expected = skimage.metrics.structural_similarity(
        first, second, channel_axis=2, gaussian_weights=True, use_sample_covariance=False, data_range=1.0, full=True
    )
    np.testing.assert_allclose(ssim_map(first, second)[5:-5, 5:-5], expected[5:-5, 5:-5], atol=1e-4)


def test_a_black_picture_has_nothing_to_align():
    sharp = np.full((40, 50, 3), 128, np.uint8)
    psnr, _ = aligned_scores(sharp, np.zeros_like(sharp))
    assert psnr == pytest.approx(-20 * np.log10(128 / 255), abs=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        "test/{s}/blur/{n}.png",
        "{s}/{n}.png",
        "{s}-{n}.png",
        "{s}_{n}.jpg",
        "test/{s}/sharp/{n}.png",
        "deep/er/{s}/{n}.png",
    ],
)
def test_restored_pictures_are_found_by_name(make_pairs, save_picture, tmp_path, name):
    pairs = open_source(make_pairs(*[f"test/S{s}/{{}}/00{n}.png" for s in range(2) for n in range(2)])).pairs("all")
    for level, pair in enumerate(pairs):
        content = np.full((96, 112, 3), 40 * level, np.uint8)
        save_picture(tmp_path / "restored" / name.format(s=pair.sequence, n=pair.name), content)
    folder = RestoredFolder(tmp_path / "restored")
    levels = [folder.read(pair, (96, 112, 3))[0, 0, 0] for pair in pairs]
    np.testing.assert_allclose(levels, [0, 40, 80, 120], atol=1)


def test_pictures_restored_elsewhere_score_as_if_restored_here(make_pairs, tmp_path):
    """What halving the light of the blurred pictures makes: scored in a folder, and as a function."""
    root = make_pairs("test/A/{}/1.png", "test/B/{}/1.png")
    pairs = open_source(root).pairs("test")
    for pair in pairs:
        path = tmp_path / "restored" / pair.sequence / f"{pair.name}.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(read_picture(pair.blur) // 2).save(path)
    summary = evaluate(data=root, restored=tmp_path / "restored", report=tmp_path / "report")
    expected = score(lambda picture: picture // 2, pairs, progress=False)
    assert summary["restored"]["psnr"] == pytest.approx(np.mean([item.restored_psnr for item in expected]), abs=1e-6)
    assert summary["model"] == f"restored in {tmp_path / 'restored'}"
    assert (tmp_path / "report/comparison.png").exists()


def test_what_is_wrong_with_restored_pictures_is_said(make_pairs, save_picture, tmp_path):
    root = make_pairs("test/A/{}/1.png", "test/A/{}/2.png")
    save_picture(tmp_path / "one/A/1.png", (96, 112))
    with pytest.raises(InputError, match=r"has no picture for .*A/blur/2\.png"):
        evaluate(data=root, restored=tmp_path / "one")
    save_picture(tmp_path / "one/A/2.png", (50, 60))
    with pytest.raises(InputError, match=r"A/2\.png is 60x50, but the pair that it belongs to is 112x96"):
        evaluate(data=root, restored=tmp_path / "one")
    for folder in ("x", "y"):
        save_picture(tmp_path / f"two/{folder}/A/1.png", (96, 112))
    with pytest.raises(InputError, match="could both be"):
        evaluate(data=root, restored=tmp_path / "two")
    with pytest.raises(InputError, match="takes no --model"):
        evaluate("lite", root, restored=tmp_path / "one")


def test_all_sets_are_checked_before_the_first_is_scored(make_pairs, save_picture, tmp_path, monkeypatch):
    roots = [make_pairs(f"test/S/{{}}/{number}.png", root=name) for number, name in enumerate("AB")]
    save_picture(tmp_path / "restored/S/0.png", (96, 112))
    scored = []
    monkeypatch.setattr("unet_deblur_tf.evaluation.evaluate.score", lambda *given: scored.append(given))
    with pytest.raises(InputError, match=r"has no picture for .*S/blur/1\.png"):
        evaluate_sets(data=roots, restored=tmp_path / "restored")
    assert not scored


def test_a_restored_picture_never_stands_for_two(make_pairs, save_picture, tmp_path):
    root = make_pairs("test/A/{}/1.png", "test/B/{}/1.png")
    save_picture(tmp_path / "restored/A/1.png", (96, 112))
    message = r"A/1\.png would be both .*A/blur/1\.png and .*B/blur/1\.png restored.*B/1\.png"
    with pytest.raises(InputError, match=message):
        evaluate(data=root, restored=tmp_path / "restored")


def test_how_far_the_ends_of_paths_agree():
    assert common_end(("A", "blur", "1.png"), ("test", "a", "blur", "1.jpg")) == 3
    assert common_end(("A", "1.png"), ("test", "A", "blur", "1.png")) == 1
    assert common_end(("2.png",), ("1.png",)) == 0


def test_a_restored_picture_is_not_taken_from_another_sequence(make_pairs, save_picture, tmp_path):
    root = make_pairs("test/A/{}/1.png", "test/B/{}/2.png")
    for name in ("A/1.png", "C/2.png"):
        save_picture(tmp_path / "restored" / name, (96, 112))
    with pytest.raises(InputError, match=r"C/2\.png would be .*B/blur/2\.png restored by its name alone.* folder B/"):
        evaluate(data=root, restored=tmp_path / "restored")


def test_a_copy_of_the_pairs_beside_the_results_is_not_scored(make_pairs, save_picture, tmp_path):
    root = make_pairs("test/{}/1.png")
    for name in ("restored/1.png", "sharp/1.png"):
        save_picture(tmp_path / "results" / name, (96, 112))
    with pytest.raises(InputError, match="could both be"):
        evaluate(data=root, restored=tmp_path / "results")


def test_results_for_two_kinds_of_blur_are_told_apart(make_pairs, save_picture, tmp_path):
    root = make_pairs("test/A/{}/1.png")
    for kind in ("blur", "blur_gamma"):
        save_picture(tmp_path / f"results/A/{kind}/1.png", (96, 112))
    (pair,) = open_source(root).pairs("test")
    assert RestoredFolder(tmp_path / "results").path_for(pair) == tmp_path / "results/A/blur/1.png"


def test_a_log_beside_a_set_is_no_list(make_pairs):
    root = make_pairs("test/GoPro/{}/1.png", "test/RealBlur_J/{}/2.png", root="Datasets")
    (root / "test/RealBlur_J_results.txt").write_text("a log\n")
    splits, _ = open_standard_set("realblur_j", root / "test/RealBlur_J")
    assert [pair.name for pair in splits["test"]] == ["2"]


def test_other_sets_may_lie_beside_realblurs_lists(sets, make_pairs):
    make_pairs("REDS/val/{}/7.png", root="sets")
    (sets / "REDS/val/blur").rename(sets / "REDS/val/x")
    assert len(open_source("realblur_j", data_dir=sets).pairs("test")) == 2


def test_a_score_says_if_the_pairs_were_held_out(make_pairs, capsys):
    evaluate("lite", make_pairs(*[f"{{}}/{number}.png" for number in range(4)]))
    assert "on 1 pairs" in (said := capsys.readouterr().out)
    assert "(test: 1 of 4 that were held out, --split all scores all of them)" in said


def test_realblurs_lists_may_lie_above_the_folder_of_the_set(make_pairs, tmp_path):
    root = make_pairs(*[f"RealBlur_J/{number}/{{}}/{number}.png" for number in range(4)], root="sets/RealBlur")
    for split, numbers in (("train", range(3)), ("test", [3])):
        lines = [f"RealBlur_J/{n}/sharp/{n}.png RealBlur_J/{n}/blur/{n}.png" for n in numbers]
        (root / f"RealBlur_J_{split}_list.txt").write_text("\n".join(lines))
    for folder in (root, root.parent, root / "RealBlur_J"):
        splits, _ = open_standard_set("realblur_j", folder)
        assert {split: len(pairs) for split, pairs in splits.items()} == {"train": 3, "test": 1}


def test_more_pairs_than_the_test_set_has_are_not_taken_for_it(make_pairs, monkeypatch):
    root = make_pairs(*[f"RealBlur_J/{number}/{{}}/{number}.png" for number in range(4)], root="sets")
    monkeypatch.setitem(SETS, "realblur_j", SETS["realblur_j"]._replace(images=3))
    with pytest.raises(InputError, match="has 4 pairs, and nothing says which of them are the 3 of RealBlur-J's test"):
        open_standard_set("realblur_j", root)


def test_the_peers_pictures_score_as_their_authors_program_did(real_data):
    """SOURCES.md beside them: 24.83 to 30.17 dB. SSIM as SciPy's correlations in float64 have it."""
    summary = evaluate(data=real_data / "gopro", restored=real_data / "peers/DMPHN_1_2_4/gopro")
    assert summary["images"] == 5
    assert summary["input"]["psnr"] == pytest.approx(24.83, abs=0.005)
    assert summary["input"]["ssim"] == pytest.approx(0.75109, abs=1e-5)
    assert summary["restored"]["psnr"] == pytest.approx(30.17, abs=0.005)
    assert summary["restored"]["ssim"] == pytest.approx(0.88890, abs=1e-5)
