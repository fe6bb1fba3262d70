"""The scripts as people run them."""

import contextlib
import io
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).parents[1]


def run(script, *arguments, cwd):
    """In a process of its own, as a `subprocess.CompletedProcess`."""
    command = [sys.executable, ROOT / script, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def run_here(script, *arguments, cwd):
    """The same in this process, which spares the seconds that TensorFlow takes to start."""
    command = [str(ROOT / script), *map(str, arguments)]
    here, on_termination = Path.cwd(), signal.getsignal(signal.SIGTERM)
    status, stdout, stderr = 0, io.StringIO(), io.StringIO()
    try:
        os.chdir(cwd)
        with (
            mock.patch.object(sys, "argv", command),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
        ):
            runpy.run_path(command[0], run_name="__main__")
    except SystemExit as end:
        status = end.code or 0
        if isinstance(status, str):  # what Python prints of it
            stderr.write(f"{status}\n")
            status = 1
    finally:
        os.chdir(here)
        signal.signal(signal.SIGTERM, on_termination)
    return subprocess.CompletedProcess(command, status, stdout.getvalue(), stderr.getvalue())
