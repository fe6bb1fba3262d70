"""Restores any number of files: the pipeline, from the arguments to `failed.jsonl`."""

import codecs
import json
import logging
import multiprocessing
import os
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.transforms.combiners import ToList

from unet_deblur_tf.errors import InputError, Stopped
from unet_deblur_tf.restoring.many import running, storage
from unet_deblur_tf.restoring.many.finding import REFUSED, FindJobs
from unet_deblur_tf.restoring.many.worker import COUNTERS, FAILED, METRICS, Network, PhotoOptions, RestoreFile
from unet_deblur_tf.utils.formats import PHOTOS, VIDEOS

FAILURES = "failed.jsonl"
DIRECT = "DirectRunner"
PATIENCE = 20  # seconds that Ctrl-C and SIGTERM wait for the file that is being restored


class Counts(NamedTuple):
    """What `deblur_many` did.

    Attributes:
        restored: int, files that were restored.
        kept: int, files whose result was there already.
        failed: int, files that could not be restored; `failed.jsonl` in the output folder has their reasons.
        seconds: float, from the start of the pipeline to its end.
    """

    restored: int
    kept: int
    failed: int
    seconds: float


def deblur_many(
    inputs: Iterable[str] = (),
    lists: Iterable[str] = (),
    model: str | None = None,
    output: str = "restored",
    recursive: bool = False,
    quality: int = 95,
    allow_large: bool = False,
    allow_damaged: bool = False,
    runner: str = DIRECT,
    workers: int = 1,
    beam_flags: Iterable[str] = (),
    progress: bool = True,
    **restoring,
) -> Counts:
    """Restores photos and videos as `deblur` does, with a runner of Apache Beam.

    A result that exists is kept. So the same call finishes what an earlier one has begun, however that one ended.

    Args:
        inputs: paths of files, of folders, or patterns, local or of a file system that Beam knows, such as gs://.
        lists: paths of text files with such paths, one in a line.
        model: the network, see `finding.find_model`. With workers on other machines, a network of the package, or a
            path that is the same there.
        output: folder for the results, which keep the names of the inputs.
        recursive, quality, allow_large, allow_damaged: see `deblur.deblur`.
        runner: name of the Beam runner.
        workers: int, the processes on each machine. The DirectRunner starts so many; one of its own is this process.
        beam_flags: further options of Beam, NAME=VALUE or NAME.
        progress: bool, whether to print which network is used.
        **restoring: the fields of `RestoringOptions`. `memory` is for all processes of a machine together.

    Returns:
        `Counts`.

    Raises:
        InputError: if there are no inputs, or the model, the runner, or a path cannot be used.
        running.RunFailed: if the pipeline ends early, for example because one of its processes has died.
    """
    here = os.getcwd()
    inputs, lists = ([storage.absolute(path, here) for path in paths] for paths in (inputs, lists))
    output = storage.absolute(output, here)
    options = running.pipeline_options(runner, workers, beam_flags)
    FileSystems.set_options(options)
    storage.check_file_systems([*inputs, *lists, output])
    for path in lists:
        if not storage.exists(path):
            raise InputError(f"There is no list {path}")
    with storage.reserved(output):
        network = Network(model, workers, **restoring)
        direct = running.is_direct(runner)
        here_only = direct and workers == 1  # this process restores
        about = _checked(network, here_only)
        if progress:
            print(about, flush=True)
        pipeline = beam.Pipeline(options=options)
        arguments = _arguments(pipeline, inputs, lists, here)
        _add_steps(arguments, network, output, recursive, PhotoOptions(quality, allow_large, allow_damaged))
        began = time.monotonic()
        result = _finished(pipeline, output, direct, network if here_only else None)
    counts = Counts(**dict.fromkeys(COUNTERS, 0) | _counters(result), seconds=time.monotonic() - began)
    if not any(counts[:-1]):
        known = sorted(PHOTOS | VIDEOS)
        raise InputError(f"No pictures in {', '.join([*inputs, *lists]) or 'no inputs'}: known are {', '.join(known)}")
    return counts


def _checked(network, in_this_process):
    """Loads the network, so that what is wrong with it is known before the work begins. Returns what it is, a line.

    Workers load it anew. A process that only waits for them would keep its memory for nothing, so another one loads it.
    """
    if in_this_process:
        network.model, about = network.check()
        return about
    spawn = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(1, spawn, initializer=logging.disable, initargs=(logging.WARNING,)) as pool:
            network.model, about = pool.submit(network.check).result()
    except BrokenProcessPool as error:
        raise running.RunFailed("the process that loads the network has died") from error
    return about


def _finished(pipeline, output, direct, network_here):
    """Runs a pipeline, and removes what killed processes have left. Returns Beam's result.

    If a process has died, what it left stays, as the mark of what it was working on. Ctrl-C and SIGTERM say nothing of
    a file. They wait for the one that this process restores, but not long.
    """
    try:
        result = running.run(pipeline)
    except (Stopped, KeyboardInterrupt):
        if network_here:
            # Its thread may be restoring a file, and Python must not end meanwhile: native code would abort. Since the
            # lock is kept, it restores no further one.
            network_here.load().lock.acquire(timeout=PATIENCE)
        if direct:  # the work of others goes on
            storage.remove_unfinished(output)
        raise
    storage.remove_unfinished(output)
    return result


def _arguments(pipeline, inputs, lists, here):
    """(number, path) of the inputs, and of the lines of the lists, which can be long: workers read them."""
    lines = (
        pipeline
        | "Lists" >> beam.Create(lists)
        | "Lines" >> beam.FlatMap(_lines)
        | "Number" >> beam.Map(lambda line: (len(inputs), storage.absolute(line, here)))
    )
    return (pipeline | "Inputs" >> beam.Create([*enumerate(inputs)]), lines) | "Arguments" >> beam.Flatten()


def _lines(path):
    """Yields the lines of a text file but the empty ones. `ReadAllFromText` would take its path for a pattern."""
    with FileSystems.open(path) as file:
        for number, line in enumerate(file):
            if number == 0:
                line = line.removeprefix(codecs.BOM_UTF8)  # programs of Windows write it
            if line := line.decode(errors="backslashreplace").strip():
                yield line


def _add_steps(arguments, network, output, recursive, photo_options):
    """The pipeline, from its arguments on."""
    found = arguments | "Find jobs" >> FindJobs(output, recursive)
    failed = found["jobs"] | "Restore" >> beam.ParDo(RestoreFile(network, output, photo_options))
    return (
        (found[REFUSED], failed)
        | "All failures" >> beam.Flatten()
        | "Count failures" >> beam.Map(_count_failure)
        | "In one list" >> ToList()
        | "Write failures" >> beam.Map(_write_failures, FileSystems.join(output, FAILURES))
    )


def _count_failure(failure):
    Metrics.counter(METRICS, FAILED).inc()
    return failure


def _write_failures(failures, path):
    """Writes (source, reason) of all failures, one in a line, in the order of their sources. No failures, no file."""
    if not failures:
        storage.remove(path)
        return
    lines = (json.dumps({"source": source, "reason": reason}) for source, reason in sorted(failures))
    storage.write_text(path, "".join(f"{line}\n" for line in lines))


def _counters(result):
    """The counters of a pipeline that has ended: dict from name to int."""
    counters = result.metrics().query(MetricsFilter().with_namespace(METRICS))["counters"]
    return {counter.key.metric.name: counter.result for counter in counters}
