"""Decodes picture files inside the graph, with TensorFlow operations only, as TensorFlow Serving requires.

`tf.io.decode_image` alone is not enough. A file of a few kilobytes can decode to gigabytes and bring the server down,
so the size is read from the file's header before anything is decoded. And phone photos would come out on their side, so
a JPEG's EXIF orientation is applied.
"""

import tensorflow as tf

EXIF_REACH = 65_536  # bytes at the start of a JPEG that are searched for its EXIF orientation
ORIENTATION = 0x0112  # the EXIF tag


def decode_upright(file, name, max_pixels):
    """Decodes a picture file.

    Args:
        file: scalar string tensor, a PNG, JPEG, GIF (its first frame is taken) or BMP file, or a WebP file if this
            version of TensorFlow decodes WebP.
        name: str or string tensor, the name of the picture in error messages.
        max_pixels: int; larger pictures are rejected before they are decoded.

    Returns:
        uint8 `(height, width, 3)`. 16 bits per channel are reduced to 8, and transparency is dropped.

    Raises:
        tf.errors.InvalidArgumentError: at run time, if the file cannot be decoded or the picture is too large.
    """
    file = if_within(max_pixels, size(file, name), name, file)
    image = tf.io.decode_image(file, channels=3, expand_animations=False)
    # Check again: the header can differ from the decoded picture.
    image = if_within(max_pixels, tf.shape(image)[:2], name, image)
    return turn_upright(image, exif_orientation(file))


def if_within(max_pixels, shape, name, value):
    """Returns `value` if a picture or a batch is small enough. For use inside a `tf.function`.

    Args:
        max_pixels: int.
        shape: int tensor, (height, width) or (batch or frames, height, width).
        name: str or string tensor, the name of the picture in the error message.
        value: tensor. Later operations use it only if the picture passes.

    Returns:
        `value`.

    Raises:
        tf.errors.InvalidArgumentError: at run time, if there are no pixels or more than `max_pixels`.
    """
    shape = tf.cast(shape, tf.int64)
    # In floats: a header can claim sides whose product overflows every integer type.
    pixels = tf.reduce_prod(tf.cast(shape, tf.float64))
    advice = "reduce it, cut it, or export the model with a larger --max-pixels"
    message = tf.strings.format(
        " of shape {} has more pixels than the {} that this model takes at once; " + advice, (shape, max_pixels)
    )
    empty = tf.strings.join([name, tf.strings.format(" of shape {} is empty", shape)])
    not_empty = tf.debugging.Assert(pixels > 0, [empty])
    not_too_large = tf.debugging.Assert(pixels <= max_pixels, [tf.strings.join([name, message])])
    with tf.control_dependencies([not_empty, not_too_large]):
        return tf.identity(value)


# Values of float pictures in 0..1 that are still taken, since filters overshoot; levels up to 255 are far outside.
LOWEST, HIGHEST = -1.0, 2.0


def if_picture(image, name):
    """Returns `image` if it can be pictures in 0..1 with three channels. For use inside a `tf.function`.

    Args:
        image: float32 tensor `(batch, height, width, 3)`.
        name: str, the name of the tensor in the error message.

    Returns:
        `image`.

    Raises:
        tf.errors.InvalidArgumentError: at run time, if there are not three channels or values are far outside 0..1.
    """
    # By counting, since TensorFlow takes the static shape for granted and drops a check of `tf.shape(image)[3]`.
    channels = tf.size(image) // tf.maximum(tf.reduce_prod(tf.shape(image)[:3]), 1)
    message = tf.strings.format(f"{name} has {{}} channels; this model takes 3 (RGB)", channels)
    three = tf.debugging.Assert((channels == 3) | (tf.size(image) == 0), [message])
    lowest, highest = tf.reduce_min(image), tf.reduce_max(image)
    message = tf.strings.format(
        f"{name} has values from {{}} to {{}}; this model takes 0 to 1: divide levels of 0 to 255 by 255",
        (lowest, highest),
    )
    inside = (lowest >= LOWEST) & (highest <= HIGHEST)
    in_range = tf.debugging.Assert(inside | (tf.size(image) == 0), [message])
    with tf.control_dependencies([three, in_range]):
        return tf.identity(image)


def size(file, name):
    """Reads the size of a picture from its file, without decoding it.

    Args:
        file: scalar string tensor.
        name: str or string tensor, the name of the picture in error messages.

    Returns:
        int64 tensor (height, width); for a GIF (frames, height, width).

    Raises:
        tf.errors.InvalidArgumentError: at run time, if the format is unknown or is BMP with a palette.

    References: PNG (ISO/IEC 15948), GIF89a, BMP, WebP (RFC 9649). TensorFlow reads the size of JPEG.
    """
    head = tf.cast(tf.io.decode_raw(file, tf.uint8, fixed_length=32), tf.int64)

    def begins(text, at=0):
        return tf.reduce_all(head[at : at + len(text)] == list(text))

    def little(at, count):
        return _integer(head[at : at + count], "little")

    def big(at, count):
        return _integer(head[at : at + count], "big")

    def bmp():
        # TensorFlow would take the indices into the palette for grey levels.
        message = tf.strings.join([name, " is a BMP file with a palette, which cannot be decoded"])
        with tf.control_dependencies([tf.debugging.Assert(little(28, 2) >= 24, [message])]):
            height = little(22, 4)  # signed: negative if the rows run from top to bottom
            return tf.stack([tf.minimum(height, 2**32 - height), little(18, 4)])

    def webp():
        sides = little(21, 4)  # lossless: 14 bits for each side
        return tf.case(
            [
                (begins(b"VP8X", 12), lambda: tf.stack([little(27, 3) + 1, little(24, 3) + 1])),
                (begins(b"VP8L", 12), lambda: tf.stack([sides // 2**14 % 2**14 + 1, sides % 2**14 + 1])),
            ],
            lambda: tf.stack([little(28, 2) % 2**14, little(26, 2) % 2**14]),
        )

    def unknown():
        message = tf.strings.format(" of {} bytes is not a PNG, JPEG, GIF, BMP or WebP file", tf.strings.length(file))
        with tf.control_dependencies([tf.debugging.Assert(False, [tf.strings.join([name, message])])]):
            return tf.zeros(2, tf.int64)

    return tf.case(
        [
            (begins(b"\x89PNG\r\n\x1a\n"), lambda: tf.stack([big(20, 4), big(16, 4)])),
            (begins(b"\xff\xd8\xff"), lambda: tf.image.extract_jpeg_shape(file, tf.int64)[:2]),
            (begins(b"GIF8"), lambda: gif_size(file)),
            (begins(b"BM"), bmp),
            (begins(b"RIFF") & begins(b"WEBP", 8), webp),
        ],
        unknown,
    )


def gif_size(file):
    """(frames, height, width) of a GIF, int64, with the largest of the sides of all frames.

    TensorFlow allocates all frames at that size.
    """
    data = tf.pad(tf.io.decode_raw(file, tf.uint8), [[0, 16]])
    last = tf.size(data, tf.int64) - 1

    def little(at, count):
        return _integer(
            tf.cast(tf.gather(data, tf.minimum(at + tf.range(count, dtype=tf.int64), last)), tf.int64), "little"
        )

    def colours(flags):
        return tf.where(flags >= 128, 3 * 2 ** (flags % 8 + 1), 0)

    def block(at, inside, size):
        """Reads one block: an image, an extension, or a sub-block of up to 255 bytes in them, the last one empty."""
        kind = little(at, 1)
        image = ~inside & (kind == 0x2C)
        frames, height, width = tf.unstack(size)
        larger = tf.stack([frames + 1, tf.maximum(height, little(at + 7, 2)), tf.maximum(width, little(at + 5, 2))])
        length = tf.where(inside, 1 + kind, tf.where(image, 11 + colours(little(at + 9, 1)), 2))
        end = ~inside & ~image & (kind != 0x21)
        return tf.where(end, last, at + length), ~inside | (kind != 0), tf.where(image, larger, size)

    start = 13 + colours(little(tf.constant(10, tf.int64), 1))
    canvas = tf.stack(
        [tf.constant(0, tf.int64), little(tf.constant(8, tf.int64), 2), little(tf.constant(6, tf.int64), 2)]
    )
    loop = (start, tf.constant(False), canvas)
    *_, size = tf.while_loop(lambda at, *_: at < last, block, loop, parallel_iterations=1)
    return tf.maximum(size, [1, 0, 0])


def exif_orientation(file):
    """The orientation in a JPEG's EXIF data, int64, 1 to 8 (CIPA DC-008); 1 (upright) if there is none."""
    data = tf.cast(tf.io.decode_raw(tf.strings.substr(file, 0, EXIF_REACH), tf.uint8), tf.int64)
    data = tf.pad(data, [[0, 32]])  # zeros for pointers that lead beyond the data
    last = tf.size(data, tf.int64) - 1

    def number(at, count, order="big"):
        return _integer(tf.gather(data, tf.minimum(at[..., tf.newaxis] + tf.range(count, dtype=tf.int64), last)), order)

    # EXIF data is in the first segment, or in the second if the first is JFIF's: marker, two bytes of length, "Exif".
    second = tf.constant(2, tf.int64)
    second = tf.where(number(second, 2) == 0xFFE0, 4 + number(second + 2, 2), second)
    is_exif = (number(second, 2) == 0xFFE1) & (number(second + 4, 4) == int.from_bytes(b"Exif"))
    start = second + 10
    big = number(start, 1) == ord("M")

    def field(at, count):
        return tf.where(big, number(start + at, count), number(start + at, count, "little"))

    directory = field(tf.constant(4, tf.int64), 4)
    entries = directory + 2 + 12 * tf.range(field(directory, 2))
    values = tf.where(field(entries + 2, 2) == 4, field(entries + 8, 4), field(entries + 8, 2))  # a long, or a short
    values = tf.boolean_mask(values, field(entries, 2) == ORIENTATION)
    orientation = tf.reduce_max(tf.concat([values[:1], [1]], 0))
    is_jpeg = number(tf.constant(0, tf.int64), 2) == 0xFFD8
    return tf.where(is_jpeg & is_exif & (orientation <= 8), orientation, 1)


def turn_upright(image, orientation):
    """Rotates and mirrors a picture as its EXIF orientation demands, without resampling."""

    def if_one_of(orientations, change, image):
        return tf.cond(tf.reduce_any(orientation == orientations), lambda: change(image), lambda: image)

    image = if_one_of([5, 6, 7, 8], lambda image: tf.transpose(image, [1, 0, 2]), image)
    image = if_one_of([2, 3, 6, 7], lambda image: tf.reverse(image, [1]), image)
    return if_one_of([3, 4, 7, 8], lambda image: tf.reverse(image, [0]), image)


def _integer(parts, order):
    """Combines int64 bytes along the last axis into unsigned integers; `order` is "little" or "big" endian."""
    exponents = range(parts.shape[-1]) if order == "little" else reversed(range(parts.shape[-1]))
    return tf.reduce_sum(parts * [256**exponent for exponent in exponents], axis=-1)
