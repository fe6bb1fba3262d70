"""Videos, through a network that inverts colours, so that what comes out is known up to what the codec loses."""

import itertools
import re
import struct
from fractions import Fraction

import keras
import numpy as np
import pytest
from PIL import Image, ImageDraw

from unet_deblur_tf.data.pictures import read_picture
from unet_deblur_tf.data.video_frames import extract_frames
from unet_deblur_tf.restoring.deblur import deblur
from unet_deblur_tf.restoring.video import restore_video


def moving(path, sound=True, times=range(10), colorspace=None, pixel=None, pattern=False, **metadata):
    """Frames in which a square moves, with a tone of a second; with `pattern`, before noise that takes many bytes."""
    import av

    with av.open(str(path), "w") as file:
        pictures = file.add_stream("libx264", rate=10, options={"crf": "1"})
        pictures.width, pictures.height, pictures.pix_fmt = 96, 64, "yuv420p"
        pictures.codec_context.time_base = pictures.time_base = Fraction(1, 1000)
        if colorspace:
            pictures.codec_context.colorspace = colorspace
        if pixel:
            pictures.codec_context.sample_aspect_ratio = pixel
        file.metadata.update(metadata)
        tones = file.add_stream("aac", rate=44100) if sound else None
        for number, time in enumerate(times):
            picture = Image.new("RGB", (96, 64), (60, 90, 140))
            if pattern:
                picture = Image.fromarray(np.random.default_rng(number).integers(0, 256, (64, 96, 3), np.uint8))
            ImageDraw.Draw(picture).rectangle([8 * number, 20, 8 * number + 20, 40], fill="white")
            frame = av.VideoFrame.from_image(picture)
            frame = frame.reformat(format="yuv420p", dst_colorspace=colorspace or "ITU601")
            frame.pts, frame.time_base = 100 * time, Fraction(1, 1000)
            file.mux(pictures.encode(frame))
        file.mux(pictures.encode())
        if sound:
            wave = np.sin(np.arange(44100) * 0.05, dtype=np.float32)[np.newaxis]
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.rate = 44100
            file.mux(tones.encode(frame))
            file.mux(tones.encode())
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("times", [range(10), (0, 1, 2, 5, 6, 7, 8, 20, 21, 22)])
@pytest.mark.parametrize("sound", [True, False])
def test_a_video_frame_by_frame_with_its_sound(inverter, tmp_path, suffix, times, sound):
    av = pytest.importorskip("av")
    source = moving(tmp_path / f"film{suffix}", sound, times)
    outcome = deblur(source, inverter, tmp_path / "out", progress=False)
    assert not outcome.failed
    with av.open(str(source)) as before, av.open(str(outcome.written[source])) as after:
        assert len(after.streams.audio) == len(before.streams.audio) == sound
        given, made = (list(file.decode(video=0)) for file in (before, after))
    assert len(made) == len(given) == 10
    assert [frame.time for frame in made] == [frame.time for frame in given]
    for frame, result in zip(given, made):
        difference = 255 - frame.to_ndarray(format="rgb24").astype(int) - result.to_ndarray(format="rgb24")
        assert np.abs(difference).mean() < 4
    if sound:
        with av.open(str(source)) as before, av.open(str(outcome.written[source])) as after:
            packets = [[bytes(p) for p in file.demux(audio=0) if p.size] for file in (before, after)]
        assert packets[0] == packets[1]


@pytest.mark.parametrize("colorspace", ["ITU709", "ITU601"])
def test_a_videos_colours_are_coded_as_they_were(tmp_path, colorspace):
    av = pytest.importorskip("av")
    from av.video.reformatter import Colorspace

    colorspace = Colorspace[colorspace]
    source = moving(tmp_path / "film.mp4", colorspace=colorspace)
    keras.Sequential([keras.Input((None, None, 3)), keras.layers.Rescaling(1.0)]).save(tmp_path / "same.keras")
    deblur(source, tmp_path / "same.keras", tmp_path / "out", progress=False)
    with av.open(str(source)) as before, av.open(str(tmp_path / "out/film.mp4")) as after:
        assert after.streams.video[0].codec_context.colorspace == colorspace
        for frame, result in zip(before.decode(video=0), after.decode(video=0), strict=True):
            difference = frame.to_ndarray(format="yuv420p").astype(int) - result.to_ndarray(format="yuv420p")
            assert np.abs(difference).mean() < 1


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_videos_shape_title_and_date_are_kept(inverter, tmp_path, suffix):
    av = pytest.importorskip("av")
    date = "2024-05-06T07:08:09.000000Z"
    source = moving(tmp_path / f"film{suffix}", pixel=Fraction(4, 3), title="Pond", creation_time=date)
    outcome = deblur(source, inverter, tmp_path / "out", progress=False)
    for path in (source, outcome.written[source]):
        with av.open(str(path)) as file:
            assert file.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
            found = {name.lower(): value for name, value in file.metadata.items()}
        assert (found["title"], found["creation_time"]) == ("Pond", date)


def shown_by(source, a, b, c, d):
    """Changes the matrix in the track header of a video: a place x, y is shown at a x + c y, b x + d y, moved."""
    data = source.read_bytes()
    before = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    place = data.index(before, data.index(b"tkhd"))
    moved = [96 * -min(a, 0) + 64 * -min(c, 0), 96 * -min(b, 0) + 64 * -min(d, 0)]
    one = 1 << 16
    matrix = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, moved[0] * one, moved[1] * one, 1 << 30)
    source.write_bytes(data[:place] + matrix + data[place + len(before) :])


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
        ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
        ((0, -1, 1, 0), lambda p: np.rot90(p)),
        ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
        ((1, 0, 0, -1), lambda p: p[::-1]),
        ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda p: p[::-1, ::-1].transpose(1, 0, 2)),
    ],
)
def test_frames_come_out_as_they_are_shown(tmp_path, matrix, shown):
    av = pytest.importorskip("av")
    source = moving(tmp_path / "film.mp4")
    with av.open(str(source)) as file:
        expected = shown(next(file.decode(video=0)).to_ndarray(format="rgb24")).astype(int)
    shown_by(source, *matrix)
    restore_video(lambda picture: picture, source, tmp_path / "result.mp4")
    with av.open(str(tmp_path / "result.mp4")) as file:
        result = next(file.decode(video=0)).to_ndarray(format="rgb24")
    assert result.shape == expected.shape
    assert np.abs(result - expected).mean() < 4
    extracted = read_picture(extract_frames(source, tmp_path / "cache")[0])
    assert np.abs(extracted - expected).mean() < 1


def test_a_turned_video_comes_out_upright(inverter, tmp_path):
    av = pytest.importorskip("av")
    source = moving(tmp_path / "film.mp4", pixel=Fraction(4, 3))
    shown_by(source, 0, 1, -1, 0)
    with av.open(str(source)) as file:
        first = next(file.decode(video=0))
    assert first.rotation % 360 == 270
    outcome = deblur(source, inverter, tmp_path / "out", progress=False)
    with av.open(str(outcome.written[source])) as file:
        result = next(file.decode(video=0))
        shape = file.streams.video[0].sample_aspect_ratio
    assert (result.width, result.height, result.rotation, shape) == (64, 96, 0, Fraction(3, 4))
    expected = 255 - np.rot90(first.to_ndarray(format="rgb24"), -1).astype(int)
    assert np.abs(result.to_ndarray(format="rgb24") - expected).mean() < 4


def test_a_file_that_is_no_video(inverter, tmp_path):
    pytest.importorskip("av")
    (tmp_path / "film.mp4").write_bytes(b"no film")
    outcome = deblur(tmp_path / "film.mp4", inverter, tmp_path / "out", progress=False)
    assert "film.mp4 cannot be restored as a video" in outcome.failed[tmp_path / "film.mp4"]
    assert list((tmp_path / "out").iterdir()) == []


def notes_on(source, network, folder, capsys):
    """Restores one video; returns the path of the result and what is said of it."""
    capsys.readouterr()
    outcome = deblur(source, network, folder, progress=True)
    assert not outcome.failed
    said = [line.partition(f"{source}: ")[2] for line in capsys.readouterr().out.splitlines() if f"{source}: " in line]
    return outcome.written[source], "".join(said)


def frames_of(path):
    av = pytest.importorskip("av")
    with av.open(str(path)) as file:
        return list(file.decode(video=0))


def test_what_is_whole_of_a_damaged_video_is_restored(inverter, tmp_path, capsys):
    av = pytest.importorskip("av")
    source = moving(tmp_path / "film.mkv", times=range(40), pattern=True)
    with av.open(str(source)) as file:
        damaged = [bytes(packet) for packet in file.demux(video=0)][20]
    source.write_bytes(source.read_bytes().replace(damaged, b"\xff" * 60 + damaged[60:]))
    written, said = notes_on(source, inverter, tmp_path / "out", capsys)
    assert "damaged parts are left out" in said
    assert 20 <= len(frames_of(written)) < 40


def test_a_video_that_ends_too_early_is_said_to(inverter, tmp_path, capsys):
    pytest.importorskip("av")
    source = moving(tmp_path / "film.mkv", sound=False, times=range(40), pattern=True)
    _, said = notes_on(source, inverter, tmp_path / "whole", capsys)
    assert said == ""
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 2 // 3])
    written, said = notes_on(source, inverter, tmp_path / "out", capsys)
    assert re.search(r"ends after [1-3]\.\d of 4\.0 seconds", said)
    assert 10 < len(frames_of(written)) < 40


def test_an_avi_whose_times_do_not_rise(inverter, tmp_path, capsys):
    """AVI has the times of packets, which are those of frames in another order."""
    pytest.importorskip("av")
    source = moving(tmp_path / "film.avi", sound=False, times=range(20), pattern=True)
    times = [frame.pts for frame in frames_of(source)]
    assert any(later <= earlier for earlier, later in itertools.pairwise(times))
    written, said = notes_on(source, inverter, tmp_path / "out", capsys)
    assert said == "written as .mkv"
    times = [frame.time for frame in frames_of(written)]
    assert len(times) == 20
    assert all(later > earlier for earlier, later in itertools.pairwise(times))
    assert times[-1] == pytest.approx(1.9, abs=0.35)


def test_sound_that_the_result_cannot_hold_is_left_out(inverter, tmp_path, capsys):
    av = pytest.importorskip("av")
    source = tmp_path / "film.avi"
    with av.open(str(source), "w") as file:
        pictures, tones = file.add_stream("mpeg4", rate=10), file.add_stream("adpcm_ms", rate=8000, layout="mono")
        pictures.width, pictures.height, pictures.pix_fmt = 96, 64, "yuv420p"
        for _ in range(3):
            file.mux(pictures.encode(av.VideoFrame.from_image(Image.new("RGB", (96, 64), (60, 90, 140)))))
        file.mux(pictures.encode())
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2000), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        file.mux(tones.encode(frame))
        file.mux(tones.encode())
    written, said = notes_on(source, inverter, tmp_path / "out", capsys)
    assert "1 further streams (sound, subtitles, data) are left out" in said
    assert len(frames_of(written)) == 3


def test_a_video_in_rgb_is_not_said_to_be_written_in_rgb(inverter, tmp_path):
    av = pytest.importorskip("av")
    source = tmp_path / "film.mkv"
    with av.open(str(source), "w") as file:
        pictures = file.add_stream("libx264rgb", rate=10, options={"crf": "1"})
        pictures.width, pictures.height, pictures.pix_fmt = 96, 64, "rgb24"
        pictures.codec_context.colorspace = 0
        for _ in range(3):
            file.mux(pictures.encode(av.VideoFrame.from_image(Image.new("RGB", (96, 64), (60, 90, 140)))))
        file.mux(pictures.encode())
    outcome = deblur(source, inverter, tmp_path / "out", progress=False)
    with av.open(str(outcome.written[source])) as file:
        result = next(file.decode(video=0))
        assert file.streams.video[0].codec_context.colorspace != 0
    np.testing.assert_allclose(result.to_ndarray(format="rgb24").mean((0, 1)), [195, 165, 115], atol=2)
