"""Restoring a video frame by frame, its sound copied as it is; needs PyAV (the extra `video`)."""

import numpy as np
from tqdm import tqdm

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils.files import write_by_rename

SUFFIXES = {".mp4", ".mov", ".m4v", ".mkv"}
OF_CONTAINER = {"major_brand", "minor_version", "compatible_brands", "encoder"}
QUALITY = "16"  # x264's constant rate factor: 18 is taken for visually lossless, lower is better


def restore_video(restore, source, target, progress=False):
    """Restores every frame; times, sound and size stay.

    Args:
        restore: function from and to uint8 `(height, width, 3)`.
        source, target: `Path`; the target's ending chooses the container, H.264 the coding.
        progress: bool, show a bar over the frames.

    Returns:
        List of str, what is lost or changed, for people.

    Raises:
        InputError: if PyAV is missing or the file cannot be read as a video.
    """
    try:
        import av
    except ImportError as error:
        raise InputError(f'{source} is a video: pip install "unet_deblur_tf[video]"') from error
    try:
        with av.open(str(source)) as given:
            first = next(given.decode(video=0), None) if given.streams.video else None
        if first is None:
            raise InputError(f"{source} has no pictures")
        height, width = _upright(first).shape[:2]
        with write_by_rename(target) as partial, av.open(str(source)) as given, av.open(str(partial), "w") as made:
            pictures, sounds = given.streams.video[0], given.streams.audio[:1]
            pictures.thread_type = "AUTO"
            # All streams first: with the first packet the file's head is written.
            coded = made.add_stream("libx264", rate=pictures.average_rate, options={"crf": QUALITY})
            coded.height, coded.width, coded.pix_fmt, coded.time_base = height, width, "yuv420p", pictures.time_base
            # Frames keep their own times, which need not be evenly spaced, and the meaning of their colours.
            coded.codec_context.time_base = pictures.time_base
            for name in ("color_primaries", "color_trc", "colorspace", "color_range"):
                setattr(coded.codec_context, name, getattr(pictures.codec_context, name))
            if shape := pictures.sample_aspect_ratio:  # of a pixel, which need not be square
                coded.codec_context.sample_aspect_ratio = shape if first.rotation % 180 == 0 else 1 / shape
            # Title, date, place; not what the container says of itself.
            made.metadata.update({name: value for name, value in given.metadata.items() if name not in OF_CONTAINER})
            copied = [made.add_stream_from_template(sound) for sound in sounds]
            bar = tqdm(total=pictures.frames or None, desc=source.name, unit="frame", leave=False, disable=not progress)
            with bar:
                for packet in given.demux([pictures, *sounds]):
                    if packet.stream is pictures:
                        for frame in packet.decode():
                            restored = av.VideoFrame.from_ndarray(restore(_upright(frame)), format="rgb24")
                            restored = restored.reformat(
                                format="yuv420p", dst_colorspace=_matrix(frame), dst_color_range=frame.color_range
                            )
                            restored.pts, restored.time_base = frame.pts, frame.time_base
                            made.mux(coded.encode(restored))
                            bar.update()
                    elif packet.dts is not None:
                        packet.stream = copied[0]
                        made.mux(packet)
            made.mux(coded.encode())
            others = len(given.streams) - 1 - len(sounds)
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{source} cannot be restored as a video: {error}") from error
    notes = [f"{others} further streams (sound, subtitles, data) are left out"] if others else []
    shown = (first.height, first.width) if first.rotation % 180 == 0 else (first.width, first.height)
    return notes + ([f"now {width}x{height}"] if shown != (height, width) else [])


def _matrix(frame):
    """By which matrix a frame's colours are coded; untagged ones as BT.601, there and back."""
    from av.video.reformatter import Colorspace

    return Colorspace.ITU709 if frame.colorspace == Colorspace.ITU709 else Colorspace.ITU601


def _upright(frame):
    """A frame as it is shown, with even sides: half of the colour resolution is coded."""
    picture = np.rot90(frame.to_ndarray(format="rgb24", src_colorspace=_matrix(frame)), frame.rotation // 90)
    return np.ascontiguousarray(picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2])
