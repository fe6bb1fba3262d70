"""Training on several GPUs or several machines: the strategy, each process's share of a batch, and who writes files.

Several machines run the same command with the environment variable `TF_CONFIG`, as TensorFlow defines it. They train
the same network, each on its share of every global batch. `Distributed` works around what keeps `fit` of Keras 3 from
running under MultiWorkerMirroredStrategy (https://github.com/keras-team/keras/issues/20585).
"""

import hashlib
import json
import os
import sys
import time
from typing import NamedTuple

import keras
import tensorflow as tf

from unet_deblur_tf.errors import InputError
from unet_deblur_tf.models.scales import trunk_of

# The errors that show that another machine is gone.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


MOST_STARTS = 100  # how often a process restarts after another machine is gone
CHIEF_FIRST = 10  # seconds that the other workers wait before they restart


class WorkerLost(Exception):
    """Another machine is gone. The message is the name of the error that showed it."""


class Share(NamedTuple):
    """The replicas that one process runs.

    Attributes:
        first: int, number of the process's first replica among all replicas.
        here: int, number of replicas of this process.
        total: int, number of replicas of all processes.
    """

    first: int = 0
    here: int = 1
    total: int = 1


def cluster():
    """Reads `TF_CONFIG`.

    Returns:
        (number of workers, index of this worker), or None if `TF_CONFIG` is not set.

    Raises:
        InputError: if it does not describe a cluster of workers with this process among them.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return None
    try:
        config = json.loads(text)
        workers, task = config["cluster"]["worker"], config["task"]
        index = int(task["index"])
        if task["type"] != "worker" or not 0 <= index < len(workers) or {*config["cluster"]} != {"worker"}:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            'TF_CONFIG must be such as {"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
            f'"task": {{"type": "worker", "index": 0}}}}, with workers alone, not {text}'
        ) from error
    return len(workers), index


def strategy():
    """Creates MultiWorkerMirroredStrategy with a `TF_CONFIG`, MirroredStrategy with several GPUs, else the default one.

    Must be called before any other use of TensorFlow. It waits until all workers are there.
    """
    workers, index = cluster() or (1, 0)
    if workers > 1:
        print(f"Worker {index} of {workers}: waiting for the others", flush=True)
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_logical_devices("GPU")
    return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()


def is_chief():
    """Whether this process is the chief, the first worker, which writes all files."""
    _, index = cluster() or (1, 0)
    return index == 0


def share(distribution):
    """The `Share` of this process under a strategy."""
    total = distribution.num_replicas_in_sync
    workers, index = cluster() or (1, 0)
    here = total // workers
    return Share(index * here, here, total)


def distributed(distribution, make_dataset):
    """Creates a dataset for `fit` under a strategy, with an element for each replica.

    Args:
        distribution: `tf.distribute.Strategy`.
        make_dataset: function from a `Share` to a `tf.data.Dataset` that yields the elements of its replicas in turn.
    """
    own_share = share(distribution)
    if own_share.total == 1:
        return make_dataset(own_share)
    return distribution.distribute_datasets_from_function(lambda context: make_dataset(own_share))


def distributed_model(model):
    """Rewrites a model into the form that `fit` needs under a strategy. Call it in the strategy's scope.

    Returns:
        A `Distributed` model that shares the layers of `model`.
    """
    for layer in trunk_of(model).layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
    return Distributed(model.inputs, model.outputs, name=model.name)


class Distributed(keras.Model):
    """A functional model that `fit` can train under any strategy, with the same result as on one device.

    It works around three problems of Keras 3.15:

    - Before the first step, Keras averages the pictures of all replicas to learn their shape, which
      MultiWorkerMirroredStrategy rejects.
    - Keras averages the results of the steps along an axis that scalars do not have.
    - Keras clips the gradients of each replica separately, before it adds them up.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if iterator is not None:
            for _, _, batches in iterator:
                data_batch = tf.nest.map_structure(self._first_local_value, next(batches))
                break
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=data_batch)

    def _first_local_value(self, value):
        return self.distribute_strategy.experimental_local_results(value)[0]

    def compile(self, optimizer=None, **kwargs):
        add_up, clip = optimizer._all_reduce_sum_gradients, optimizer._clip_gradients

        def add_up_and_clip(gradients):
            return clip([gradient for gradient, _ in add_up([(gradient, None) for gradient in gradients])])

        optimizer._clip_gradients = add_up_and_clip
        optimizer._all_reduce_sum_gradients = list
        super().compile(optimizer=optimizer, **kwargs)

    def train_step(self, data):
        return self._averageable(super().train_step(data))

    def test_step(self, data):
        return self._averageable(super().test_step(data))

    def _averageable(self, logs):
        """Gives the results the axis along which Keras averages them."""
        if not isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return logs
        return {name: tf.reshape(value, [1]) for name, value in logs.items()}


def broadcast_from_chief(distribution, value):
    """Returns the chief's `value`, an int, in every process."""
    if cluster() is None or distribution.num_replicas_in_sync == 1:
        return value

    def add_up():
        context = tf.distribute.get_replica_context()
        own_value = tf.constant(value if is_chief() else 0, tf.int64)
        first = context.replica_id_in_sync_group == 0
        return context.all_reduce("SUM", tf.where(first, own_value, 0))

    return int(distribution.experimental_local_results(distribution.run(tf.function(add_up)))[0])


def check_agreement(distribution, settings):
    """Checks that all processes have the same settings.

    Raises:
        InputError: in the processes whose settings differ from the chief's.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).digest()
    number = int.from_bytes(digest[:4], "big")
    if broadcast_from_chief(distribution, number) != number:
        raise InputError("This worker's settings differ from the first one's: give all of them the same command")


class FollowRate(keras.callbacks.Callback):
    """After each epoch, copies the chief's learning rate to all processes."""

    def on_epoch_end(self, epoch, logs=None):
        copy_from_chief(self.model.distribute_strategy, [self.model.optimizer.learning_rate])


def copy_from_chief(distribution, variables):
    """Copies the values of the chief's variables to those of all processes."""
    if cluster() is None or distribution.num_replicas_in_sync == 1:
        return
    raw = [variable.value if isinstance(variable, keras.Variable) else variable for variable in variables]

    @tf.function
    def values():
        context = tf.distribute.get_replica_context()
        first = context.replica_id_in_sync_group == 0
        return [context.all_reduce("SUM", tf.where(first, variable, tf.zeros_like(variable))) for variable in raw]

    for variable, value in zip(variables, distribution.run(values)):
        variable.assign(distribution.experimental_local_results(value)[0])


def was_restarted():
    """Whether this process was started by `restart_process`, and continues the run of its predecessor."""
    return "UNET_DEBLUR_STARTS" in os.environ


def restart_process(lost):
    """Replaces this process by a new one with the same command, which waits for all workers and continues the run.

    Args:
        lost: `WorkerLost`.

    Raises:
        WorkerLost: `lost`, after `MOST_STARTS` restarts.
    """
    starts = int(os.environ.get("UNET_DEBLUR_STARTS", 0)) + 1
    if starts > MOST_STARTS:
        raise lost
    os.environ["UNET_DEBLUR_STARTS"] = str(starts)
    print(
        f"\nAnother worker is gone ({lost}): restarting, to continue when all workers are there",
        file=sys.stderr,
        flush=True,
    )
    sys.stdout.flush()
    if not is_chief():
        # The first worker, with which the others register, must notice the loss before they come back, or it would take
        # a returning worker for another loss.
        time.sleep(CHIEF_FIRST)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # also what came by -m
