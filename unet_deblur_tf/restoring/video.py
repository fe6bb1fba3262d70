"""Restores videos frame by frame and copies their sound unchanged. Needs PyAV (the extra `video`)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from unet_deblur_tf.data.video_display import display_of
from unet_deblur_tf.errors import InputError
from unet_deblur_tf.utils.files import write_by_rename
from unet_deblur_tf.utils.formats import format_notes

CONTAINER_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder"}  # metadata about the container itself
RGB = 0  # of FFmpeg's colour spaces, the one without brightness and colour differences
QUALITY = "16"  # constant rate factor of x264: 18 is considered visually lossless, lower is better


def restore_video(
    restore: Callable[[np.ndarray], np.ndarray], source: Path, target: Path, progress: bool = False
) -> list[str]:
    """Restores every frame of a video. Times, sound and metadata are kept.

    Args:
        restore: function from and to uint8 `(height, width, 3)`.
        source: `Path` of the video.
        target: `Path` of the result. Its ending selects the container; the codec is H.264.
        progress: bool, whether to show a bar over the frames.

    Returns:
        List of str, what is lost or changed, as notes for the user.

    Raises:
        InputError: if PyAV is missing or the file cannot be read as a video.
    """
    try:
        import av
    except ImportError as error:
        raise InputError(f'{source} is a video: pip install "unet_deblur_tf[video]"') from error
    try:
        with av.open(str(source)) as reader:
            first = next(reader.decode(video=0), None) if reader.streams.video else None
        if first is None:
            raise InputError(f"{source} has no pictures")
        with write_by_rename(target) as partial, av.open(str(source)) as reader, av.open(str(partial), "w") as writer:
            frames = reader.streams.video[0].frames or None
            with tqdm(total=frames, desc=source.name, unit="frame", leave=False, disable=not progress) as bar:
                notes = _restore_streams(restore, reader, writer, first, bar)
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{source} cannot be restored as a video: {error}") from error
    notes += format_notes(source, target)
    height, width = _upright(first).shape[:2]
    shown = (first.width, first.height) if display_of(first).quarter_turns % 2 else (first.height, first.width)
    return notes + ([f"now {width}x{height}"] if shown != (height, width) else [])


def _restore_streams(restore, reader, writer, first, bar):
    """Restores the first video stream and copies the first audio stream. Returns notes for the user."""
    from av.error import InvalidDataError

    pictures = reader.streams.video[0]
    pictures.thread_type = "AUTO"
    # Add all streams before the first packet, since that writes the file's header.
    encoder = _add_encoder(writer, pictures, first)
    # Title, date, place and the like.
    writer.metadata.update({name: value for name, value in reader.metadata.items() if name not in CONTAINER_TAGS})
    copied = _add_sound(reader, writer)
    # The encoder has a rate where that of the original is unknown, too.
    step = max(1, round(1 / (encoder.codec_context.framerate * pictures.time_base)))
    time, end, damaged = None, 0, 0
    for packet in reader.demux([pictures, *(original for original, _ in copied)]):
        end = max(end, _end(packet))
        if packet.stream is pictures:
            try:
                frames = packet.decode()
            except InvalidDataError:
                damaged += 1
                continue
            for frame in frames:
                restored = _restore_frame(restore, frame)
                restored.pts = time = _rising(frame.pts, time, step)
                writer.mux(encoder.encode(restored))
                bar.update()
        elif packet.dts is not None:
            packet.stream = copied[0][1]
            writer.mux(packet)
    writer.mux(encoder.encode())
    left_out = len(reader.streams) - 1 - len(copied)
    notes = [f"{left_out} further streams (sound, subtitles, data) are left out"] if left_out else []
    notes += [f"{damaged} damaged parts are left out"] if damaged else []
    return notes + _cut_short(reader, end)


def _add_sound(reader, writer):
    """Adds a copy of the first audio stream. Returns a list of one (stream, copy), or of none."""
    sounds = reader.streams.audio[:1]
    try:
        return [(sound, writer.add_stream_from_template(sound)) for sound in sounds]
    except ValueError:  # the container of the result cannot hold it, such as ADPCM in Matroska
        return []


def _rising(time, before, step):
    """The time of a frame, which must be later than the one before: AVI has those of H.264 in another order."""
    return time if before is None or (time is not None and time > before) else before + step


def _end(packet):
    """The time at which a packet ends, in seconds; 0 if it is unknown."""
    return 0 if packet.pts is None else float((packet.pts + (packet.duration or 0)) * packet.time_base)


def _cut_short(reader, end):
    """Returns a note if a file, by the duration in its header, should go on after `end` (in seconds)."""
    microseconds = 1e-6
    whole = (reader.duration or 0) * microseconds
    reached = end - (reader.start_time or 0) * microseconds
    return [f"ends after {reached:.1f} of {whole:.1f} seconds"] if whole - reached > 0.5 + 0.01 * whole else []


def _add_encoder(writer, pictures, first):
    """Adds an H.264 stream to the result, with the size of upright frames and the colours of the original stream."""
    stream = writer.add_stream("libx264", rate=pictures.average_rate, options={"crf": QUALITY})
    stream.height, stream.width = _upright(first).shape[:2]
    stream.pix_fmt, stream.time_base = "yuv420p", pictures.time_base
    # Frames keep their own times, which can be unevenly spaced.
    stream.codec_context.time_base = pictures.time_base
    for name in ("color_primaries", "color_trc", "colorspace", "color_range"):
        setattr(stream.codec_context, name, getattr(pictures.codec_context, name))
    if pictures.codec_context.colorspace == RGB:  # the result is coded in another way, see `_matrix`
        stream.codec_context.colorspace = _matrix(first)
    if shape := pictures.sample_aspect_ratio:  # of a pixel, which can be other than square
        stream.codec_context.sample_aspect_ratio = 1 / shape if display_of(first).quarter_turns % 2 else shape
    return stream


def _restore_frame(restore, frame):
    """Restores one frame and gives it the unit of time and the colour coding of the original."""
    import av

    restored = av.VideoFrame.from_ndarray(restore(_upright(frame)), format="rgb24")
    restored = restored.reformat(format="yuv420p", dst_colorspace=_matrix(frame), dst_color_range=frame.color_range)
    restored.time_base = frame.time_base
    return restored


def _matrix(frame):
    """The matrix that codes a frame's colours: BT.709, or BT.601 for everything else, untagged frames included."""
    from av.video.reformatter import Colorspace

    return Colorspace.ITU709 if frame.colorspace == Colorspace.ITU709 else Colorspace.ITU601


def _upright(frame):
    """A frame as it is shown, uint8 RGB, cropped to even sides: colours are coded at half the resolution."""
    picture = display_of(frame).upright(frame.to_ndarray(format="rgb24", src_colorspace=_matrix(frame)))
    return np.ascontiguousarray(picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2])
