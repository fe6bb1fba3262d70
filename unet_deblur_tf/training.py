"""One training run, from settings to a published SavedModel with its scores.

What a run leaves behind, below `<output>/<variant>/`:

    1/                the SavedModel, the next free number; its `assets.extra/` keeps
                      what stands beside it now, for when a later run replaces that
    model.keras       the same network for Keras
    history.csv       losses and metrics of each epoch
    run.json          every setting, package versions, final scores
    comparison.png    blurred, restored and sharp pictures of the held-out split
    logs/1/           for TensorBoard, by version
    .training/        while it runs: what an interrupted run goes on from
"""

import contextlib
import csv
import dataclasses
import importlib.metadata
import json
import math
import os
import platform
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from unet_deblur_tf import distribution, evaluation, metrics, processor, resuming, serving
from unet_deblur_tf.data.generated import default_cache
from unet_deblur_tf.data.pairs import check_pairs, picture_size, spread
from unet_deblur_tf.data.pipeline import training_batches, validation_pictures
from unet_deblur_tf.data.sources import load_pairs
from unet_deblur_tf.data.store import POOL, InMemory, choose_cache, open_store
from unet_deblur_tf.errors import InputError, Stopped
from unet_deblur_tf.files import write_by_rename, writing_explained
from unet_deblur_tf.levels import for_training
from unet_deblur_tf.losses import mixture
from unet_deblur_tf.models import architecture, build, pool_within, squeezes
from unet_deblur_tf.optimizers import optimizer_of
from unet_deblur_tf.recipes import LOSSES
from unet_deblur_tf.restoration import POOLING_WINDOW, Restorer, find_model, load_network, load_restorer, pooling_of
from unet_deblur_tf.server_configs import write_configs

VALIDATION_LIMIT = 32  # pictures scored after each epoch, evenly spaced
CROPS_WITHOUT_CACHE = 12  # windows out of each decoded picture, where decoding is what takes the time
POOLING_LIMIT = 16  # validation pictures on which pooling is chosen
TEST_LIMIT = 100  # pictures scored at the end; evaluate.py takes them all


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that decides how a run goes; recorded in `run.json`, and what a resumed run must agree with.

    `steps_per_epoch`, `crop` and `crops_per_picture` may be None, for what `resolve` finds fit for the pictures.
    """

    variant: str
    data: str
    blur: str
    difficulty: str
    epochs: int
    steps_per_epoch: int | None
    batch_size: int
    crop: int | None
    norm: str
    head: str
    activation: str
    loss: str
    optimizer: str
    learning_rate: float
    schedule: str
    precision: str
    seed: int
    crops_per_picture: int | None = None
    start_from: str | None = None


def train(output, cache_dir=None, data_dir=None, cache="auto", pooling="auto", fresh=False, **settings):
    """Trains, exports and scores one network, or goes on where the same run was interrupted.

    Args:
        output: folder for all variants.
        cache_dir: where synthesised and decoded pairs are kept.
        data_dir: for the data "gopro", the folder of TFDS.
        cache: one of `store.CACHES`, or "auto".
        pooling: of squeeze-and-excitation in what is exported, see `choose_pooling`.
        fresh: bool, forget an interrupted run instead of going on with it.
        settings: the fields of `Settings`.

    Returns:
        (version folder, summary of the final scores as `evaluation.summarise` gives it);
        (None, None) on machines beside the chief, which write nothing.

    Raises:
        InputError: if data or output cannot be used, another run uses the output, an interrupted run had other
            settings, or the loss was not finite before the first epoch was over.
        Stopped: at the end of a step, after Ctrl-C or SIGTERM.
        distribution.WorkerLost: if another machine is gone; called again, it goes on.
    """
    settings = Settings(**settings)
    base = Path(output) / settings.variant
    try:
        with resuming.alone(base) if distribution.is_chief() else contextlib.nullcontext():
            return _train(base, cache_dir, data_dir, cache, pooling, fresh, settings)
    except distribution.LOST as error:
        if distribution.cluster() is None:
            raise
        raise distribution.WorkerLost(type(error).__name__) from error


def _train(base, cache_dir, data_dir, cache, pooling, fresh, settings):
    strategy = distribution.strategy()  # before anything else that TensorFlow does
    fresh = fresh and not distribution.started_again()
    chief, devices = distribution.is_chief(), strategy.num_replicas_in_sync
    work = base / ".training"
    if settings.batch_size % devices:
        raise InputError(f"--batch-size {settings.batch_size} cannot be divided over {devices} devices")
    pairs = {
        split: load_pairs(settings.data, split, settings.blur, settings.difficulty, cache_dir, data_dir)
        for split in ("train", "val", "test")
    }
    cache_dir = Path(cache_dir or default_cache())
    reason = "as asked for"
    if cache == "auto":
        cache, reason = choose_cache(pairs["train"], cache_dir)
    # What fits in memory may have changed since an interrupted run; how it goes on may not.
    recorded = 0 if fresh else resuming.recorded_settings(work).get("crops_per_picture") or 0
    recorded = distribution.from_chief(strategy, recorded)
    if settings.crops_per_picture is None and recorded:
        settings = dataclasses.replace(settings, crops_per_picture=recorded)
    settings = resolve(settings, pairs["train"], cache)
    check_pairs(pairs["train"], smallest=settings.crop, reason="by --crop")
    pairs["val"] = spread(pairs["val"], VALIDATION_LIMIT)
    pairs["test"] = spread(pairs["test"], TEST_LIMIT)
    check_pairs(pairs["val"] + pairs["test"], smallest=metrics.SSIM_WINDOW, reason="by SSIM")
    print(", ".join(f"{len(some)} {split} pairs" for split, some in pairs.items()), f"from {settings.data}")
    print(f"Cache: {cache} ({reason}), {settings.crops_per_picture} crops in a row per picture")
    epochs_done = resuming.prepare(work, dataclasses.asdict(settings), fresh) if chief else 0
    epochs_done = distribution.from_chief(strategy, epochs_done)
    distribution.check_agreement(strategy, dataclasses.asdict(settings))
    if epochs_done:
        print(f"Going on after epoch {epochs_done} of {settings.epochs} (--fresh starts anew)")

    keras.utils.set_random_seed(settings.seed)
    keras.config.set_dtype_policy(settings.precision)
    with strategy.scope():
        network = build(settings.variant, norm=settings.norm, head=settings.head, activation=settings.activation)
        if settings.start_from and not epochs_done:
            take_weights(network, settings.start_from)
        model = form_for_fit(network, devices)
        compile_model(model, settings)
        if epochs_done:
            if chief:
                resuming.restore(model, work, epochs_done)
            distribution.copy_from_chief(strategy, resuming.state(model))
    print(f"{settings.variant}: {network.count_params():,} parameters, {settings.precision}, on {hardware()}")
    if advice := processor.advice(network):
        print(advice)
    if devices > 1:
        part = settings.batch_size // devices
        print(f"{devices} devices, {part} of the {settings.batch_size} windows of a batch on each")
        print(f"Learning rate {settings.learning_rate}, for the whole batch")

    store = open_store(pairs["train"], cache, cache_dir, pool=max(POOL, settings.batch_size))
    validation = InMemory(pairs["val"])

    def windows(share):
        first_step = epochs_done * settings.steps_per_epoch
        size, crops = (settings.batch_size, settings.crop), settings.crops_per_picture
        return training_batches(store, *size, settings.seed, first_step, crops, share)

    def advice():
        done = resuming.completed_epochs(work)
        command = "The same command without --fresh" if fresh else "The same command"
        return f"{command} goes on after epoch {done} of {settings.epochs}"

    stop = resuming.StopAtStep()
    with writing_explained(base, advice):
        try:
            model.fit(
                distribution.distributed(strategy, windows),
                initial_epoch=epochs_done,
                epochs=settings.epochs,
                steps_per_epoch=settings.steps_per_epoch,
                validation_data=distribution.distributed(
                    strategy, lambda share: validation_pictures(validation, share=share)
                ),
                callbacks=[*callbacks(settings, network, base, work, epochs_done, validation), stop],
                shuffle=False,
                verbose="auto" if chief else 0,
            )
        except tf.errors.ResourceExhaustedError as error:
            size = f"{settings.batch_size} windows of {settings.crop}x{settings.crop}"
            raise InputError(f"{size} do not fit in memory: try a smaller --batch-size or --crop") from error
        except tf.errors.OpError as error:
            # A picture that could not be read surfaces here as an error of the pipeline.
            raise (store.error or validation.error or error) from None
        except Stopped as stopped:
            stopped.advice = advice()
            raise
        finally:
            stop.restore()
        if not chief:
            return None, None
        if not (work / "best.keras").exists():
            shutil.rmtree(work)
            raise InputError(f"Training diverged at a learning rate of {settings.learning_rate}: try a smaller one")

        model = keras.saving.load_model(work / "best.keras", compile=False)
        model, pooling = choose_pooling(model, settings.crop, pairs["val"], pooling)
        folder, summary = publish(model, settings, base, work, pairs["test"], pooling)
    shutil.rmtree(work)
    return folder, summary


def resolve(settings, train_pairs, cache):
    """Fills in what is None: a window that suits the pictures, one pass over them (at least 50 steps), and so on."""
    if settings.crop is not None and settings.crop < metrics.SSIM_WINDOW:
        raise InputError(f"--crop must be at least {metrics.SSIM_WINDOW}, which SSIM needs, not {settings.crop}")
    crop = settings.crop or (256 if all(min(picture_size(pair.sharp)) >= 256 for pair in train_pairs) else 64)
    steps = settings.steps_per_epoch or max(50, math.ceil(len(train_pairs) / settings.batch_size))
    crops = settings.crops_per_picture or (CROPS_WITHOUT_CACHE if cache == "none" else 1)
    return dataclasses.replace(settings, crop=crop, steps_per_epoch=steps, crops_per_picture=crops)


def hardware():
    """What computes, for people: the GPUs by name, or the CPU."""
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    return ", ".join(names) or f"CPU ({os.cpu_count()} cores)"


def form_for_fit(network, devices=1):
    """The model that is trained, of the network's own layers; for several devices, in the strategy's scope."""
    # Measured on a CPU alone (docs/speed.md); a GPU may prefer the network as built.
    model = network if tf.config.list_physical_devices("GPU") else for_training(network)
    return model if devices == 1 else distribution.distributed_model(model)


def compile_model(model, settings):
    """Compiles with the loss, the schedule and the metrics of the settings; XLA on a GPU, where it pays."""
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        steps = settings.epochs * settings.steps_per_epoch
        warmup = max(1, min(steps // 10, 1000))
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, steps - warmup), alpha=0.01, warmup_target=rate, warmup_steps=warmup
        )
    model.compile(
        optimizer=optimizer_of(settings.optimizer, rate),
        loss=mixture(LOSSES[settings.loss]),
        metrics=[metrics.psnr, metrics.ssim],
        # Under a strategy, Keras 3.15 would compile the exchange between devices too, which XLA refuses.
        jit_compile=len(tf.config.list_physical_devices("GPU")) == 1 and not tf.distribute.has_strategy(),
    )
    make_variables(model)


def make_variables(model):
    """Makes the variables of optimizer and metrics: when the first step makes them, TensorFlow traces it twice."""
    model.optimizer.build(model.trainable_variables)
    if not tf.distribute.has_strategy():  # where Keras does it by itself
        blank = tf.zeros((1, metrics.SSIM_WINDOW, metrics.SSIM_WINDOW, 3))
        model.compute_metrics(blank, blank, blank)
        model.reset_metrics()


def take_weights(model, path):
    """Gives a network the weights of a trained one, to go on from there on other data or with other settings.

    Args:
        model: `keras.Model`.
        path: as `restoration.find_model` takes it.

    Raises:
        InputError: if what is there is not a network of the same layers and shapes.
    """
    source = load_network(find_model(path))
    if architecture(model) != architecture(source):
        raise InputError(
            f"--start-from {path} is a {source.name or 'SavedModel'} with other layers than this {model.name}: "
            "--variant, --norm, --head and --activation must be those that it was trained with"
        )
    for layer in model.layers:
        layer.set_weights(source.get_layer(layer.name).get_weights())


def callbacks(settings, network, base, work, epochs_done, validation):
    """Keras' callbacks: best weights, resuming, logs; in that order, so that a kill leaves what was saved before it.

    On machines beside the chief they write nothing.
    """
    if not distribution.is_chief():
        found = [keras.callbacks.TerminateOnNaN()]
        return [*found, distribution.FollowRate()] if settings.schedule == "plateau" else found
    history = work / "history.csv"
    # A number of its own per run, the same when it goes on: that of the version it will become.
    logs = str(base / "logs" / str(serving.next_version(base)))
    past = resuming.past_epochs(history, epochs_done)
    found = [
        keras.callbacks.TerminateOnNaN(),
        resuming.SaveBest(network, work / "best.keras", "val_psnr", past),
        keras.callbacks.CSVLogger(str(history), append=epochs_done > 0),
        keras.callbacks.TensorBoard(logs, write_graph=False),
        TensorBoardPictures(logs, validation),
        resuming.SaveState(work),
    ]
    if settings.schedule == "plateau":
        found[:0] = [resuming.ReduceOnPlateau(past, patience=2), distribution.FollowRate()]
    return found


class TensorBoardPictures(keras.callbacks.Callback):
    """Writes blurred, restored and sharp validation pictures side by side to TensorBoard after each epoch.

    Args:
        folder: of the logs.
        store: `PictureStore`; its first pictures are shown, cut to 256x256.
        count: how many.
    """

    def __init__(self, folder, store, count=4):
        super().__init__()
        self.writer = tf.summary.create_file_writer(folder + "/pictures")
        self.dataset = validation_pictures(store, largest=256).take(count)

    def on_epoch_end(self, epoch, logs=None):
        with self.writer.as_default(step=epoch):
            for number, (blurred, sharp) in enumerate(self.dataset):
                row = [blurred, metrics.round_to_8_bit(self.model(blurred, training=False)), sharp]
                tf.summary.image(f"blurred, restored, sharp/{number}", tf.concat(row, axis=2))


def choose_pooling(model, crop, val_pairs, wanted="auto"):
    """Global or local pooling for squeeze-and-excitation: as asked for, or what scores higher on validation pictures.

    Args:
        model: `keras.Model`.
        crop: side of the windows it was trained on.
        val_pairs: list of `Pair`, scored at full size.
        wanted: one of `POOLINGS`.

    Returns:
        (the model with that pooling, what to record of it).
    """
    if not squeezes(model):
        return model, None
    models = {"global": model, "local": pool_within(model, POOLING_WINDOW * crop)}
    if wanted != "auto":
        return models[wanted], {"exported": pooling_of(models[wanted])}
    psnr = {}
    for name, candidate in models.items():
        scores = evaluation.score(Restorer(candidate), spread(val_pairs, POOLING_LIMIT), progress=False)
        psnr[name] = evaluation.summarise(scores)["restored"]["psnr"]
    best = max(psnr, key=psnr.get)  # global, if they are equal
    exported = pooling_of(models[best])
    print("Pooling: " + ", ".join(f"{name} {value:.3f} dB" for name, value in psnr.items()) + f"; exported: {exported}")
    return models[best], {"exported": exported, "validation_psnr": psnr}


def publish(model, settings, base, work, test_pairs, pooling=None):
    """Scores and exports the network; puts the run's files inside the new version and beside it."""
    model.save(work / "model.keras")
    restore = load_restorer(work / "model.keras")
    scores = evaluation.score(restore, test_pairs)
    summary = evaluation.summarise(scores)
    evaluation.comparison(restore, test_pairs, scores).save(work / "comparison.png")
    with open(work / "history.csv", newline="") as file:
        epochs = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    run = {
        "epochs_completed": len(epochs),
        "best_epoch": max(epochs, key=lambda row: row["val_psnr"])["epoch"],
        "settings": dataclasses.asdict(settings),
        "pooling": pooling,
        "parameters": model.count_params(),
        "score": {"split": "test", "protocol": "full", **summary},
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("unet_deblur_tf", "tensorflow", "keras", "numpy")},
        },
    }
    (work / "run.json").write_text(json.dumps(run, indent=1) + "\n")
    kept = [work / name for name in ("model.keras", "history.csv", "run.json", "comparison.png")]
    folder = serving.publish(model, base, {path.name: path for path in kept})
    for path in kept:
        with write_by_rename(base / path.name) as partial:
            shutil.copy2(path, partial)
    write_configs(base.parent)
    return folder, summary
