"""Starts commands with a quiet TensorFlow, and ends them with an error in one line and an exit status."""

import contextlib
import os
import signal
import sys
import tempfile

from unet_deblur_tf.errors import InputError, Stopped, first_line
from unet_deblur_tf.utils.hardware import has_slow_onednn

# Besides Ctrl-C: what `kill` sends, and what a closed terminal sends, which Windows does not have.
ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def quiet_tensorflow():
    """Imports TensorFlow without its start-up messages, and Keras with the settings that the commands need.

    In the environment, `TF_CPP_MIN_LOG_LEVEL=0` shows the messages, and `TF_ENABLE_ONEDNN_OPTS=1` turns oneDNN on where
    it is slow, see `hardware.has_slow_onednn`. The commands need the backend TensorFlow, the data format
    "channels_last" and the float type float32. If the user has configured Keras otherwise, this process ignores it and
    prints a note.
    """
    if has_slow_onednn():
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # overrides keras.json, too
    if backend != "tensorflow":
        print(f"KERAS_BACKEND={backend} is set aside: this command runs on TensorFlow", file=sys.stderr)
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3") >= "2":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        with _held_back():
            import tensorflow  # noqa: F401
    import keras

    for name, needed in (("image_data_format", "channels_last"), ("floatx", "float32")):
        configured = getattr(keras.config, name)()
        if configured != needed:
            print(f"{name} {configured!r} of keras.json is set aside: this command takes {needed!r}", file=sys.stderr)
            getattr(keras.config, f"set_{name}")(needed)


@contextlib.contextmanager
def _held_back():
    """Within the block, standard error is collected. It is printed only if the block fails.

    Log levels do not work for this, since TensorFlow ignores them during its import.
    """
    with tempfile.TemporaryFile() as messages:
        terminal = os.dup(2)
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except BaseException:
            messages.seek(0)
            os.write(terminal, messages.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def run(main, arguments):
    """Runs the `main(arguments)` of a command. Errors are reported in one line instead of a stack trace.

    The exit status is 2 for bad input, 1 for an error of the operating system (such as a full disk), 130 after Ctrl-C,
    143 after SIGTERM, and 129 if the terminal was closed (not with nohup).
    """
    program = os.path.basename(sys.argv[0])
    with contextlib.suppress(AttributeError, ValueError):  # not a file, or closed
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be valid UTF-8
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _terminate)
    try:
        main(arguments)
    except InputError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"{program}: error: {first_line(error)}", file=sys.stderr)
        sys.exit(1)
    except Stopped as stopped:
        name = "interrupted" if stopped.signal == signal.SIGINT else "terminated"
        with contextlib.suppress(OSError):  # there is no terminal any more
            print(f"\n{program}: {name}{stopped.advice and ': ' + stopped.advice}", file=sys.stderr)
        sys.exit(128 + stopped.signal)
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted", file=sys.stderr)
        sys.exit(130)


def _terminate(number, frame):
    """Turns SIGTERM or SIGHUP into an exception, like Ctrl-C, so that temporary files are removed."""
    raise Stopped(number)


def command_line(name):
    """How to call a command in the way that this process was called: `python NAME.py` or `unet-deblur NAME`."""
    program = os.path.basename(sys.argv[0])
    in_clone = program.endswith(".py") and program != "__main__.py"
    return f"python {name}.py" if in_clone else f"unet-deblur {name}"
