"""Runs a pipeline to its end, and ends it where Beam would wait forever: when a process of its own has died."""

import contextlib
import functools
import io
import logging
import subprocess
import threading
import types
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, InvalidStateError

import apache_beam as beam
import psutil
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.direct.direct_runner import DirectRunner
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.runner import PipelineResult, PipelineState, create_runner

from unet_deblur_tf.errors import InputError, first_line

# Beam's names of the threads that wait for a process of the DirectRunner and for what it sends, and what it runs.
WORKER_THREADS = {"run_worker", "beam_control_read", "read_grpc_client_inputs"}
WORKER_MODULE = "apache_beam.runners.worker.sdk_worker_main"


class RunFailed(RuntimeError):
    """The pipeline did not reach its end; the message says why, in one line."""


def is_direct(runner: str) -> bool:
    """Whether a runner is the DirectRunner, which works on this machine alone.

    Raises:
        InputError: if there is no such runner.
    """
    try:
        return isinstance(create_runner(runner), DirectRunner)
    except Exception as error:  # each runner lacks something else
        raise InputError(f"--runner {runner}: {first_line(error)}") from error


def pipeline_options(runner: str, workers: int, flags: Iterable[str]) -> PipelineOptions:
    """The options of a pipeline.

    Args:
        runner: str, name of a Beam runner.
        workers: int, the processes that the DirectRunner starts.
        flags: further options of Beam, NAME=VALUE or NAME.

    Raises:
        InputError: if there is no such runner, or Beam refuses an option.
    """
    options = [f"--runner={runner}"]
    if is_direct(runner):
        # The DirectRunner leaves pipelines to Prism if it can, which has no processes. Not those with this option.
        options += ["--allow_unsafe_triggers", "--default_sdk_harness_log_level=ERROR"]
        if workers > 1:
            options += [f"--direct_num_workers={workers}", "--direct_running_mode=multi_processing"]
    options += [f"--{flag}" for flag in flags]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = PipelineOptions(options)
            parsed.get_all_options(retain_unknown_options=True)  # runners add their own
    except SystemExit as end:
        raise InputError(f"--beam: {said.getvalue().strip().rpartition('error: ')[2]}") from end
    return parsed


def run(pipeline: beam.Pipeline) -> PipelineResult:
    """Runs a pipeline. Whatever ends it, the processes that the DirectRunner started end, too.

    Raises:
        RunFailed: if it fails, or one of its processes dies.
    """
    outcome = Future()
    silent = _silent("apache_beam", isinstance(pipeline.runner, DirectRunner))
    with _deaths_told_to(outcome), silent, _spared_ctrl_c():
        try:
            # Not in this thread: Beam's clean-up would wait for the workers before Ctrl-C or SIGTERM ended it.
            threading.Thread(target=_run_for, args=(outcome, pipeline), daemon=True).start()
            return outcome.result()
        except RunFailed:
            raise
        except Exception as error:  # Beam's has the stack trace of the worker as its text
            raise RunFailed(str(error).strip().rpartition("\n")[2] or type(error).__name__) from error
        finally:
            _end_workers()


def _run_for(outcome, pipeline):
    """Sets a future to the result of a pipeline."""
    try:
        result = pipeline.run()
        state = result.wait_until_finish()
        if state not in (PipelineState.DONE, None):
            raise RunFailed(f"the runner ended in the state {state}")
        outcome.set_result(result)
    except BaseException as error:
        with contextlib.suppress(InvalidStateError):
            outcome.set_exception(error)


@contextlib.contextmanager
def _deaths_told_to(outcome: Future) -> Iterator[None]:
    """Within the block, the death of a process of the DirectRunner fails a future. Beam itself would wait on."""
    usual = threading.excepthook

    def failed(arguments):
        if arguments.thread is None or arguments.thread.name not in WORKER_THREADS:
            usual(arguments)
            return
        with contextlib.suppress(InvalidStateError):
            outcome.set_exception(RunFailed("a worker process has died"))

    threading.excepthook = failed
    try:
        yield
    finally:
        threading.excepthook = usual


@contextlib.contextmanager
def _spared_ctrl_c() -> Iterator[None]:
    """Within the block, processes of the DirectRunner start in groups of their own.

    Ctrl-C in a terminal goes to all processes of a group, and each would answer with a stack trace.
    """
    usual = local_job_service.subprocess
    local_job_service.subprocess = types.SimpleNamespace(Popen=functools.partial(subprocess.Popen, process_group=0))
    try:
        yield
    finally:
        local_job_service.subprocess = usual


@contextlib.contextmanager
def _silent(name: str, silent: bool) -> Iterator[None]:
    """Within the block, a logger is silent: the DirectRunner logs the death of a process with several stack traces."""
    logger = logging.getLogger(name)
    level = logger.level
    if silent:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _end_workers():
    """Ends the processes of the DirectRunner, and waits for the threads that wait for them."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any(WORKER_MODULE in word for word in process.cmdline()):
                process.kill()
    for thread in threading.enumerate():
        if thread.name in WORKER_THREADS:
            thread.join(timeout=10)
