"""Extracts the frames of a video, once, to a folder of PNG files in the cache. Needs PyAV (the extra `video`)."""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from unet_deblur_tf.data.pictures import find_pictures
from unet_deblur_tf.data.video_display import display_of
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils.files import default_cache, make_folder, remove_stale, rename_once


def extract_frames(path: Path, cache_dir: str | Path | None = None) -> list[Path]:
    """Writes every frame of a video, upright, to the cache, or finds the frames there.

    Args:
        path: `Path` of the video.
        cache_dir: folder for the frames; None for the user's cache folder.

    Returns:
        List of `Path`, in order.

    Raises:
        InputError: if PyAV is missing, the file cannot be read, or the cache cannot be written to.
    """
    status = path.stat()
    stamp = json.dumps([str(path.resolve()), status.st_size, status.st_mtime_ns])
    folder = Path(cache_dir or default_cache()) / f"frames-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        _extract(path, folder)
    return find_pictures(folder)


def _extract(path, folder):
    """Writes the frames of a video to a temporary folder, and renames it to `folder` when it is complete."""
    try:
        import av
    except ImportError as error:
        raise InputError(f'{path} is a video, which needs: pip install "unet_deblur_tf[video]"') from error
    make_folder(folder.parent)
    remove_stale(folder.parent, "*.partial-*")
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.partial-", dir=folder.parent))
    try:
        with av.open(str(path)) as video:
            stream = video.streams.video[0]
            stream.thread_type = "AUTO"
            bar = tqdm(video.decode(stream), f"Frames of {path.name}", stream.frames or None, unit="frame")
            for number, frame in enumerate(bar):
                upright = display_of(frame).upright(frame.to_ndarray(format="bgr24"))
                file = str(partial / f"{number:06}.png")
                if not cv2.imwrite(file, np.ascontiguousarray(upright), [cv2.IMWRITE_PNG_COMPRESSION, 1]):
                    raise InputError(f"Cannot write to {folder.parent}: is the disk full?")
        rename_once(partial, folder)
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"{path} cannot be read as a video: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
