"""Picture files decoded inside the graph, as TensorFlow Serving needs it: nothing but TensorFlow's own operations.

`tf.io.decode_image` alone would let a file of a few kilobytes that unfolds to gigabytes
take the server down, and would turn phone photos on their side. So the size is read from
the file's head before anything is decoded, and a JPEG's EXIF orientation is applied.
"""

import tensorflow as tf

EXIF_REACH = 65_536  # bytes from a JPEG's start in which its EXIF orientation is looked for
ORIENTATION = 0x0112  # the EXIF tag


def decode_upright(file, name, max_pixels):
    """Decodes a picture file.

    Args:
        file: scalar string tensor: PNG, JPEG, GIF (its first frame), BMP, or where this
            TensorFlow decodes it, WebP.
        name: str or string tensor, what error messages call it.
        max_pixels: int, larger pictures are refused before they are decoded.

    Returns:
        uint8 `(height, width, 3)`; 16 bits per channel are reduced to 8, transparency is dropped.

    Raises:
        tf.errors.InvalidArgumentError: when run on something else, or on too large a picture.
    """
    file = if_within(max_pixels, size(file, name), name, file)
    image = tf.io.decode_image(file, channels=3, expand_animations=False)
    # Once more: a head can say one thing and the picture be another.
    image = if_within(max_pixels, tf.shape(image)[:2], name, image)
    return turn_upright(image, exif_orientation(file))


def if_within(max_pixels, shape, name, value):
    """`value`, once it is known that a picture or batch is small enough; to be used inside a `tf.function`.

    Args:
        max_pixels: int.
        shape: int tensor, (height, width) or (batch or frames, height, width).
        name: str or string tensor, what the error message calls the picture.
        value: tensor, computed from only if the picture passes.

    Raises:
        tf.errors.InvalidArgumentError: when run on more than `max_pixels`, with a sentence.
    """
    shape = tf.cast(shape, tf.int64)
    # As floats: a file's head may claim sides whose product no integer holds.
    pixels = tf.reduce_prod(tf.cast(shape, tf.float64))
    advice = "reduce it, cut it, or export the model with a larger --max-pixels"
    message = tf.strings.format(
        " of shape {} has more pixels than the {} that this model takes at once; " + advice, (shape, max_pixels)
    )
    some = tf.debugging.Assert(pixels > 0, [tf.strings.join([name, tf.strings.format(" of shape {} is empty", shape)])])
    few = tf.debugging.Assert(pixels <= max_pixels, [tf.strings.join([name, message])])
    with tf.control_dependencies([some, few]):
        return tf.identity(value)


def size(file, name):
    """(height, width), int64, or of a GIF (frames, height, width), read without decoding the file.

    Formats: PNG (ISO/IEC 15948), GIF89a, BMP, WebP (RFC 9649), JPEG through TensorFlow.
    """
    head = tf.cast(tf.io.decode_raw(file, tf.uint8, fixed_length=32), tf.int64)

    def begins(text, at=0):
        return tf.reduce_all(head[at : at + len(text)] == list(text))

    def little(at, count):
        return _integer(head[at : at + count], "little")

    def big(at, count):
        return _integer(head[at : at + count], "big")

    def bmp():
        # Of a palette TensorFlow takes the numbers for grey levels.
        message = tf.strings.join([name, " is a BMP file with a palette, which cannot be decoded"])
        with tf.control_dependencies([tf.debugging.Assert(little(28, 2) >= 24, [message])]):
            height = little(22, 4)  # signed: negative where the rows run from the top
            return tf.stack([tf.minimum(height, 2**32 - height), little(18, 4)])

    def webp():
        sides = little(21, 4)  # without loss: 14 bits each
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
    """(frames, height, width), int64, the largest of the frames: TensorFlow makes room for all of them that large."""
    data = tf.pad(tf.io.decode_raw(file, tf.uint8), [[0, 16]])
    last = tf.size(data, tf.int64) - 1

    def little(at, count):
        return _integer(
            tf.cast(tf.gather(data, tf.minimum(at + tf.range(count, dtype=tf.int64), last)), tf.int64), "little"
        )

    def colours(flags):
        return tf.where(flags >= 128, 3 * 2 ** (flags % 8 + 1), 0)

    def block(at, inside, size):
        """One block: an image, an extension, or inside these a piece of up to 255 bytes, the last of them empty."""
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
    """1 to 8, int64, as in a JPEG's EXIF data (CIPA DC-008); 1, upright, where there is none."""
    data = tf.cast(tf.io.decode_raw(tf.strings.substr(file, 0, EXIF_REACH), tf.uint8), tf.int64)
    data = tf.pad(data, [[0, 32]])  # a place to land for what points outside
    last = tf.size(data, tf.int64) - 1

    def number(at, count, order="big"):
        return _integer(tf.gather(data, tf.minimum(at[..., tf.newaxis] + tf.range(count, dtype=tf.int64), last)), order)

    # EXIF data is the first segment, or the second after JFIF's: its marker, two bytes of length, "Exif".
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
    """Undoes the turn and the mirroring that an EXIF orientation stands for, without resampling."""

    def if_one_of(orientations, change, image):
        return tf.cond(tf.reduce_any(orientation == orientations), lambda: change(image), lambda: image)

    image = if_one_of([5, 6, 7, 8], lambda image: tf.transpose(image, [1, 0, 2]), image)
    image = if_one_of([2, 3, 6, 7], lambda image: tf.reverse(image, [1]), image)
    return if_one_of([3, 4, 7, 8], lambda image: tf.reverse(image, [0]), image)


def _integer(parts, order):
    """Bytes along the last axis, int64, as unsigned integers."""
    exponents = range(parts.shape[-1]) if order == "little" else reversed(range(parts.shape[-1]))
    return tf.reduce_sum(parts * [256**exponent for exponent in exponents], axis=-1)
