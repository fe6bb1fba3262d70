"""How a command starts and how it fails: TensorFlow kept quiet, errors in one line, exit statuses."""

import contextlib
import os
import signal
import sys
import tempfile

from unet_deblur_tf.errors import InputError, Stopped, first_line


def quiet_tensorflow():
    """Imports TensorFlow without its start-up notes, and Keras on top of it as the package needs it.

    `TF_CPP_MIN_LOG_LEVEL=0` in the environment brings the notes back. Another backend, data format or float type that a
    user chose for Keras elsewhere is set aside for this process, and a line says so.
    """
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # it has the last word over keras.json, too
    if backend != "tensorflow":
        print(f"KERAS_BACKEND={backend} is set aside: this command runs on TensorFlow", file=sys.stderr)
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3") >= "2":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        with _held_back():
            import tensorflow  # noqa: F401
    import keras

    for name, needed in (("image_data_format", "channels_last"), ("floatx", "float32")):
        found = getattr(keras.config, name)()
        if found != needed:
            print(f"{name} {found!r} of keras.json is set aside: this command takes {needed!r}", file=sys.stderr)
            getattr(keras.config, f"set_{name}")(needed)


@contextlib.contextmanager
def _held_back():
    """Within the block, what is written to standard error is held back; it is shown if the block fails.

    What TensorFlow logs during its import heeds no level.
    """
    with tempfile.TemporaryFile() as notes:
        terminal = os.dup(2)
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(terminal, notes.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def run(main, arguments):
    """Runs a script's `main(arguments)`, and ends it in a line rather than a stack trace.

    The exit status is 2 for bad input, 1 where the operating system refuses (a full disk), 130 after Ctrl-C and 143
    after SIGTERM.
    """
    program = os.path.basename(sys.argv[0])
    signal.signal(signal.SIGTERM, _terminate)
    try:
        main(arguments)
    except InputError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"{program}: error: {first_line(error)}", file=sys.stderr)
        sys.exit(1)
    except Stopped as stopped:
        name = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[stopped.signal]
        print(f"\n{program}: {name}{stopped.advice and ': ' + stopped.advice}", file=sys.stderr)
        sys.exit(128 + stopped.signal)
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted", file=sys.stderr)
        sys.exit(130)


def _terminate(number, frame):
    """As Ctrl-C does: temporary files are removed on the way out."""
    raise Stopped(number)


def command_line(name):
    """How to call another command in the way that this one was called: "python train.py" or "unet-deblur train"."""
    program = os.path.basename(sys.argv[0])
    in_clone = program.endswith(".py") and program != "__main__.py"
    return f"python {name}.py" if in_clone else f"unet-deblur {name}"
