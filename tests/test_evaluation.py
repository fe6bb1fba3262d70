"""Scores, tables, intervals, reports and the sheet of pictures."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from helpers import exact_ssim, psnr, read_pixels, run_script_here
from PIL import Image

from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.data.trees.tree import find_pairs
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.evaluation import evaluate
from unet_deblur_tf.evaluation.report import bootstrap_interval, summarise, table, write_report
from unet_deblur_tf.evaluation.scoring import Score, score
from unet_deblur_tf.exporting.saved_model import publish
from unet_deblur_tf.models import pretrained
from unet_deblur_tf.models.finding import find_model, find_newest
from unet_deblur_tf.models.unet import unet
from unet_deblur_tf.restoring.restorer import Restorer
from unet_deblur_tf.utils.sheets import comparison_sheet


def made_up(number, sequence="A"):
    return Score(sequence, str(number), 64, 48, 20.0 + number, 0.5, 22.0 + number, 0.75, 0.1)


def brighten(picture):
    """A restorer that undoes the fixture's halving, all but the odd levels."""
    return np.minimum(picture.astype(int) * 2, 255).astype(np.uint8)


def test_scores_by_hand(make_pairs):
    pairs = find_pairs(make_pairs("train/A/{}/1.png"))["train"]
    (item,) = score(brighten, pairs, progress=False)
    blurred, sharp = read_picture(pairs[0].blur) / 255.0, read_picture(pairs[0].sharp) / 255.0
    restored = brighten(read_picture(pairs[0].blur)) / 255.0
    assert item.input_psnr == pytest.approx(-10 * np.log10(np.mean((sharp - blurred) ** 2)), abs=1e-3)
    assert item.restored_psnr == pytest.approx(-10 * np.log10(np.mean((sharp - restored) ** 2)), abs=1e-3)
    assert item.restored_ssim == pytest.approx(exact_ssim(sharp, restored), abs=1e-5)
    assert (item.sequence, item.name, item.width, item.height) == ("A", "1", 112, 96)
    assert item.seconds > 0


def test_the_seed_protocol_resizes_to_224_and_takes_ms_ssim(make_pairs):
    pairs = find_pairs(make_pairs("{}/1.png"))[""]
    sizes = []

    def restore(picture):
        sizes.append(picture.shape)
        return picture

    (item,) = score(restore, pairs, protocol="original", progress=False)
    assert set(sizes) == {(224, 224, 3)}
    pictures = [
        np.asarray(Image.open(path).resize((224, 224), Image.Resampling.BILINEAR), np.float32) / 255
        for path in (pairs[0].sharp, pairs[0].blur)
    ]
    assert item.input_ssim == pytest.approx(float(tf.image.ssim_multiscale(*pictures, 1.0)), abs=1e-5)


def test_means_and_gain():
    summary = summarise([made_up(0), made_up(1), made_up(5, "B")])
    assert summary["images"] == 3
    assert summary["input"] == {"psnr": 22.0, "ssim": 0.5}
    assert summary["restored"] == {"psnr": 24.0, "ssim": 0.75}
    assert summary["gain"] == {"psnr": 2.0, "ssim": 0.25}
    assert summary["sequences"]["A"]["restored"]["psnr"] == 22.5
    assert summary["sequences"]["B"]["images"] == 1
    assert "psnr_interval" not in summary["gain"]


def test_intervals_from_ten_pictures_on():
    summary = summarise([made_up(number) for number in range(10)])
    low, high = summary["input"]["psnr_interval"]
    assert low < summary["input"]["psnr"] < high
    assert summary["gain"]["psnr_interval"] == pytest.approx([2, 2])


def test_the_bootstrap_agrees_with_the_normal_interval():
    values = np.random.default_rng(0).normal(30, 2, 400)
    half = 1.96 * values.std() / 20
    np.testing.assert_allclose(bootstrap_interval(values), [values.mean() - half, values.mean() + half], atol=0.03)


def test_the_table_begins_with_the_blurred_input():
    lines = table(summarise([made_up(0), made_up(1, "B")])).splitlines()
    assert lines[1].split() == ["blurred", "input", "20.50", "0.5000"]
    assert lines[2].split() == ["restored", "22.50", "0.7500"]
    assert lines[3].split() == ["gain", "+2.00", "+0.2500"]
    assert any(line.split() == ["B", "1", "21.00", "/", "0.5000", "23.00", "/", "0.7500"] for line in lines)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of models with one network that returns its input, in two versions, and `net.keras`."""
    folder = tmp_path_factory.mktemp("models")
    network = unet(widths=(4, 4, 4, 4, 4))
    network.save(folder / "net.keras")
    for _ in range(2):
        publish(network, folder / "net")
    return folder


def test_models_are_found_however_they_are_named(models):
    assert find_model(models / "net") == models / "net/2"
    assert find_model(models / "net/1") == models / "net/1"
    assert find_model(models / "net.keras") == models / "net.keras"
    assert find_model("latest", models) == find_newest(None, models) == models / "net/2"


def test_without_a_name_the_packages_own_is_found(models, tmp_path):
    assert find_model(None, models) == pretrained.find("unet")
    assert find_newest(None, tmp_path) == pretrained.find("unet")
    with pytest.raises(InputError, match="latest: there is no trained network under"):
        find_model("latest", tmp_path)


def test_the_newest_model_is_the_newest_whatever_its_name_or_number(tmp_path):
    for age, name in enumerate(["b/1", "a/7", "z/3"]):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "saved_model.pb").touch()
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    assert find_newest(None, tmp_path) == tmp_path / "b/1"


def test_missing_models_say_what_there_is(tmp_path):
    with pytest.raises(InputError, match=r"No such model: .*nowhere.*: lite"):
        find_model(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"neither a \.keras file nor a SavedModel"):
        find_model(tmp_path)


def test_damaged_models_are_named(tmp_path):
    (tmp_path / "bad.keras").write_bytes(b"not a network")
    (tmp_path / "1").mkdir()
    (tmp_path / "1/saved_model.pb").write_bytes(b"not a network")
    for path in (tmp_path / "bad.keras", tmp_path / "1"):
        with pytest.raises(InputError, match="cannot be loaded as a model"):
            Restorer(path)


@pytest.mark.parametrize("kind", ["net.keras", "net/1"])
def test_both_kinds_of_model_restore(models, picture, kind):
    np.testing.assert_array_equal(Restorer(models / kind)(picture), picture)


@pytest.mark.parametrize("kind", ["file", "version", "foreign"])
def test_every_kind_of_model_changes_what_its_network_changes(inverter, trained_models, tmp_path, picture, kind):
    path = {"file": inverter, "version": trained_models / "inverter/1", "foreign": tmp_path / "1"}[kind]
    if kind == "foreign":  # a SavedModel alone
        shutil.copytree(trained_models / "inverter/1", path, ignore=shutil.ignore_patterns("assets.extra"))
    np.testing.assert_array_equal(Restorer(path)(picture), 255 - picture)


def test_a_report_can_be_read_back(models, make_pairs, picture, tmp_path):
    root = make_pairs(*[f"test/S{number % 3}/{{}}/{number}.png" for number in range(11)])
    summary = evaluate.evaluate(models / "net", root, report=tmp_path / "report")
    assert json.loads((tmp_path / "report/metrics.json").read_text()) == summary
    assert summary["images"] == 11
    assert summary["split"] == "test"
    assert set(summary["sequences"]) == {"S0", "S1", "S2"}
    with open(tmp_path / "report/per_image.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("psnr", "ssim"):
        column = [float(row[f"restored_{name}"]) for row in rows]
        assert np.mean(column) == pytest.approx(summary["restored"][name])
    assert summary["strength"] == 1
    # A network that returns its input scores as the input does.
    assert summary["gain"]["psnr"] == pytest.approx(0)
    sheet = read_pixels(tmp_path / "report/comparison.png")
    for column, shown in enumerate((picture // 2, picture // 2, picture)):  # blurred, restored, sharp
        left = 6 + 342 * column
        np.testing.assert_array_equal(sheet[6 : 6 + 288 : 3, left : left + 336 : 3], shown)
    assert len(list((tmp_path / "report").iterdir())) == 3

    with pytest.raises(InputError, match=r"holds metrics.json, per_image.csv, comparison.png already: --overwrite"):
        evaluate.evaluate(models / "net", root, report=tmp_path / "report")
    limited = evaluate.evaluate(models / "net", root, report=tmp_path / "report", limit=4, overwrite=True)
    assert limited["images"] == 4


def test_a_report_of_names_that_are_not_valid_utf_8(tmp_path):
    write_report(tmp_path, {}, [made_up(1, "caf\udce9")], Image.new("RGB", (8, 8)))
    assert b"caf\xe9,1,64,48" in (tmp_path / "per_image.csv").read_bytes()


def test_evaluate_takes_what_was_trained_here_and_says_so(trained_here, make_pairs, picture):
    make_pairs("test/A/{}/1.png")
    done = run_script_here("evaluate.py", "--data", "pairs", "--report", "report", cwd=trained_here)
    assert done.returncode == 0, done.stderr
    assert "saved_models/inverter/1 on 1 pairs of pairs" in done.stdout
    found = json.loads((trained_here / "report/metrics.json").read_text())
    assert found["input"]["psnr"] == pytest.approx(psnr(picture // 2, picture), abs=1e-3)
    assert found["restored"]["psnr"] == pytest.approx(psnr(255 - picture // 2, picture), abs=1e-3)


def test_evaluate_takes_the_packages_network_where_nothing_was_trained(tmp_path, make_pairs):
    make_pairs("test/A/{}/1.png")
    done = run_script_here("evaluate.py", "--data", "pairs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{pretrained.find()} on 1 pairs of pairs" in done.stdout


def test_the_sheet_holds_the_pictures(picture):
    sheet = np.asarray(comparison_sheet([[(picture, "one"), (picture // 2, "two")]]))
    # 112 pixels are enlarged three times, to at least 320.
    np.testing.assert_array_equal(sheet[6 : 6 + 288 : 3, 6 : 6 + 336 : 3], picture)
    np.testing.assert_array_equal(sheet[6 : 6 + 288 : 3, 348 : 348 + 336 : 3], picture // 2)
    assert (sheet[6 + 288 :] < 128).any()  # the captions
