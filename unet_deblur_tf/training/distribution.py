"""Training on several GPUs and on several machines: which strategy, whose share of a batch, who writes.

With `TF_CONFIG` in the environment, as TensorFlow defines it, every machine runs the same command and
trains the same network on its share of each global batch. All of the cure for `fit` of Keras 3 under
MultiWorkerMirroredStrategy (https://github.com/keras-team/keras/issues/20585) is here: `Distributed`.
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

# What is seen when another machine is gone.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


MOST_STARTS = 100
CHIEF_FIRST = 10  # seconds


class WorkerLost(Exception):
    """Another machine is gone; the message says how it showed."""


class Share(NamedTuple):
    """The replicas whose windows one process computes.

    Attributes:
        first: number of the first of them among all.
        here: how many.
        total: of all processes.
    """

    first: int = 0
    here: int = 1
    total: int = 1


def cluster():
    """What `TF_CONFIG` says: (number of workers, this one's index), or None where it is not set.

    Raises:
        InputError: if it is not the description of a cluster with this process in it.
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
    """MultiWorkerMirroredStrategy if there is a `TF_CONFIG`, MirroredStrategy if there are several GPUs, else none.

    To be called before anything else of TensorFlow. Waits until all workers are there.
    """
    found = cluster()
    if found is not None and found[0] > 1:
        print(f"Worker {found[1]} of {found[0]}: waiting for the others", flush=True)
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_logical_devices("GPU")
    return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()


def is_chief():
    """Whether this process is the one that writes."""
    found = cluster()
    return found is None or found[1] == 0


def share(distribution):
    """This process's `Share`."""
    found = cluster()
    total = distribution.num_replicas_in_sync
    workers, index = found or (1, 0)
    here = total // workers
    return Share(index * here, here, total)


def distributed(distribution, make_dataset):
    """A dataset for `fit` whose elements are each for one replica.

    Args:
        distribution: a strategy.
        make_dataset: function of a `Share` to a `tf.data.Dataset` that yields the
            elements of its replicas in turn.
    """
    mine = share(distribution)
    if mine.total == 1:
        return make_dataset(mine)
    return distribution.distribute_datasets_from_function(lambda context: make_dataset(mine))


def distributed_model(model):
    """The model in the form that `fit` needs under a strategy, sharing its layers; to be called in its scope."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
    return Distributed(model.inputs, model.outputs, name=model.name)


class Distributed(keras.Model):
    """A functional model that `fit` can train under any strategy, with the same result as one device would give.

    Keras 3.15 falls short of that in three places. Before the first step it takes the
    mean of all replicas' pictures to learn their shape, which MultiWorkerMirroredStrategy
    refuses. It averages what the steps return along an axis that scalars do not have.
    And it clips the gradients of each replica by themselves, before adding them up.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if iterator is not None:
            for _, _, batches in iterator:
                data_batch = tf.nest.map_structure(self._of_one_replica, next(batches))
                break
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=data_batch)

    def _of_one_replica(self, value):
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
        if not isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return logs
        return {name: tf.reshape(value, [1]) for name, value in logs.items()}


def broadcast_from_chief(distribution, value):
    """An int that the chief has, in every process."""
    if cluster() is None or distribution.num_replicas_in_sync == 1:
        return value

    def add_up():
        mine = tf.constant(value if is_chief() else 0, tf.int64)
        first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
        return tf.distribute.get_replica_context().all_reduce("SUM", tf.where(first, mine, 0))

    return int(distribution.experimental_local_results(distribution.run(tf.function(add_up)))[0])


def check_agreement(distribution, settings):
    """Makes sure that every process was given the same settings.

    Raises:
        InputError: in those that were not.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).digest()
    number = int.from_bytes(digest[:4], "big")
    if broadcast_from_chief(distribution, number) != number:
        raise InputError("This worker's settings differ from the first one's: give all of them the same command")


class FollowRate(keras.callbacks.Callback):
    """Takes over the learning rate that the chief has after each epoch."""

    def on_epoch_end(self, epoch, logs=None):
        copy_from_chief(self.model.distribute_strategy, [self.model.optimizer.learning_rate])


def copy_from_chief(distribution, variables):
    """Gives the variables of every process the values that they have in the chief's."""
    if cluster() is None or distribution.num_replicas_in_sync == 1:
        return
    raw = [variable.value if isinstance(variable, keras.Variable) else variable for variable in variables]

    @tf.function
    def values():
        first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0

        def add_up(variable):
            kept = tf.where(first, variable, tf.zeros_like(variable))
            return tf.distribute.get_replica_context().all_reduce("SUM", kept)

        return [add_up(variable) for variable in raw]

    for variable, value in zip(variables, distribution.run(values)):
        variable.assign(distribution.experimental_local_results(value)[0])


def was_restarted():
    """Whether this process goes on with what one of the same command began, see `restart_process`."""
    return "UNET_DEBLUR_STARTS" in os.environ


def restart_process(lost):
    """Replaces this process by a new one of the same command, which waits for all workers and goes on with them.

    Raises:
        WorkerLost: `lost`, if this has been done `MOST_STARTS` times.
    """
    starts = int(os.environ.get("UNET_DEBLUR_STARTS", 0)) + 1
    if starts > MOST_STARTS:
        raise lost
    os.environ["UNET_DEBLUR_STARTS"] = str(starts)
    print(
        f"\nAnother worker is gone ({lost}): starting again, to go on when all are there", file=sys.stderr, flush=True
    )
    sys.stdout.flush()
    if not is_chief():
        # After the first worker, which the others register with: before it has noticed, it would take a worker that
        # comes back for one more loss.
        time.sleep(CHIEF_FIRST)
    os.execv(sys.executable, [sys.executable, *sys.argv])
