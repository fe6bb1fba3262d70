"""JPEG files that end too early, and videos in containers that cannot hold the result."""

import numpy as np
import pytest
from PIL import Image, ImageFile

from unet_deblur_tf import deblur
from unet_deblur_tf.data.photos import read_photo
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils.formats import output_name


@pytest.fixture
def cut(tmp_path, picture):
    """A JPEG file without its last quarter, and the picture as it was."""
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.tile(picture, (4, 4, 1))).save(path, quality=95)
    whole = np.asarray(Image.open(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    return path, whole


def test_a_file_that_ends_too_early_is_refused_with_the_way_out(cut):
    with pytest.raises(InputError, match=r"photo\.jpg cannot be read .*truncated.*--allow-damaged"):
        read_photo(cut[0])


def test_what_is_there_is_read_on_request(cut):
    path, whole = cut
    photo = read_photo(path, allow_damaged=True)
    assert photo.pixels.shape == whole.shape
    rows = len(whole) // 2  # three quarters of the bytes hold more than half of the rows
    np.testing.assert_array_equal(photo.pixels[:rows], whole[:rows])
    assert (photo.pixels[-8:] == 128).all()
    assert photo.notes == ["the file ends too early: grey parts were not in it"]
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False  # of the process, as before


def test_a_whole_file_is_read_as_ever(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "photo.jpg")
    assert read_photo(tmp_path / "photo.jpg", allow_damaged=True).notes == []


def test_other_damage_stays_damage(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "photo.png")
    data = (tmp_path / "photo.png").read_bytes()
    (tmp_path / "photo.png").write_bytes(data[: len(data) // 2])
    for allowed in (False, True):
        with pytest.raises(InputError, match=r"photo\.png cannot be read") as caught:
            read_photo(tmp_path / "photo.png", allow_damaged=allowed)
        assert "--allow-damaged" not in str(caught.value)


def test_it_is_restored_on_request(cut, tmp_path):
    path, whole = cut
    assert "--allow-damaged" in deblur(path, "lite", tmp_path / "out", progress=False).failed[path]
    outcome = deblur(path, "lite", tmp_path / "out", allow_damaged=True, progress=False)
    assert outcome.written == {path: tmp_path / "out/photo.jpg"}
    assert np.asarray(Image.open(tmp_path / "out/photo.jpg")).shape == whole.shape


@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "mpeg4"), (".webm", "libvpx")])
def test_avi_and_webm_are_restored_as_mkv(tmp_path, suffix, codec):
    av = pytest.importorskip("av")
    (tmp_path / "in").mkdir()
    source = tmp_path / f"in/film{suffix}"
    with av.open(str(source), "w") as video:
        stream = video.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for level in range(0, 200, 40):
            video.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((32, 48, 3), level, np.uint8), format="rgb24")))
        video.mux(stream.encode())
    outcome = deblur(tmp_path / "in", "lite", tmp_path / "out", progress=False)
    assert outcome.written == {source: tmp_path / "out/film.mkv"}
    with av.open(str(tmp_path / "out/film.mkv")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    np.testing.assert_allclose([frame.mean() for frame in frames], range(0, 200, 40), atol=6)
    assert output_name(source).name == "film.mkv"
