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
        shape: int tensor, (height, width) or (batch, height, width).
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
    with tf.control_dependencies([tf.debugging.Assert(pixels <= max_pixels, [tf.strings.join([name, message])])]):
        return tf.identity(value)


def size(file, name):
    """(height, width), int64, from the first bytes of a file.

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
            (begins(b"GIF8"), lambda: tf.stack([little(8, 2), little(6, 2)])),
            (begins(b"BM"), bmp),
            (begins(b"RIFF") & begins(b"WEBP", 8), webp),
        ],
        unknown,
    )


def exif_orientation(file):
    """1 to 8, int64, as in a JPEG's EXIF data (CIPA DC-008); 1, upright, where there is none."""
    data = tf.cast(tf.io.decode_raw(tf.strings.substr(file, 0, EXIF_REACH), tf.uint8), tf.int64)
    data = tf.pad(data, [[0, 16]])  # a place to land for what points outside
    last = tf.size(data, tf.int64) - 1
    # An APP1 segment: its marker, two bytes of length, "Exif".
    pattern = {0: 0xFF, 1: 0xE1, 4: ord("E"), 5: ord("x"), 6: ord("i"), 7: ord("f"), 8: 0, 9: 0}
    begins = tf.reduce_all([data[offset : last - 9 + offset] == byte for offset, byte in pattern.items()], axis=0)
    found = tf.where(begins)
    start = tf.cond(tf.size(found) > 0, lambda: found[0, 0] + 10, lambda: last)

    def number(at, count):
        taken = tf.gather(data, tf.minimum(start + at[..., tf.newaxis] + tf.range(count, dtype=tf.int64), last))
        return tf.where(data[start] == ord("M"), _integer(taken, "big"), _integer(taken, "little"))

    directory = number(tf.constant(4, tf.int64), 4)
    entries = directory + 2 + 12 * tf.range(number(directory, 2))
    values = tf.boolean_mask(number(entries + 8, 2), number(entries, 2) == ORIENTATION)
    orientation = tf.reduce_max(tf.concat([values[:1], [1]], 0))
    is_jpeg = tf.reduce_all(data[:2] == [0xFF, 0xD8])
    return tf.where(is_jpeg & (orientation <= 8), orientation, 1)


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
