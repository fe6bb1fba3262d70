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
import dataclasses
import math
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from unet_deblur_tf.data.pairs import evenly_spaced, measure_pairs, require_size
from unet_deblur_tf.data.pipeline import training_batches, validation_pictures
from unet_deblur_tf.data.sources import open_source
from unet_deblur_tf.data.store import POOL, InMemory, PictureStore, choose_cache, open_store
from unet_deblur_tf.errors import InputError, Stopped
from unet_deblur_tf.evaluation import metrics
from unet_deblur_tf.models.loading import initialize_from, next_version
from unet_deblur_tf.models.unet import build
from unet_deblur_tf.training import callbacks, checkpoints, distribution
from unet_deblur_tf.training.compiling import compile_model, prepare_for_fit
from unet_deblur_tf.training.publishing import choose_pooling, publish
from unet_deblur_tf.utils import hardware
from unet_deblur_tf.utils.files import default_cache, writing_explained

SPLITS = ("train", "val", "test")
VALIDATION_LIMIT = 32  # pictures scored after each epoch, evenly spaced
TEST_LIMIT = 100  # pictures scored at the end; evaluate.py takes them all
CROPS_WITHOUT_CACHE = 12  # crops out of each decoded picture, where decoding is what takes the time


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that decides how a run goes; recorded in `run.json`, and what a resumed run must agree with.

    `steps_per_epoch`, `crop` and `crops_per_picture` may be None, for what `fill_defaults` finds fit for the pictures.
    """

    variant: str
    data: str
    blur: str | None
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
    sharp: str | None = None
    kind: str | None = None


@dataclasses.dataclass
class Run:
    """One training run on its way: what `prepare` makes, `fit` trains and `finish` publishes.

    Attributes:
        base: `Path`, the model base path.
        settings: `Settings`, without None.
        strategy: `tf.distribute.Strategy`.
        epochs_done: int, by an interrupted run that this one goes on with.
        network: `keras.Model` as `models.unet` builds it, which is saved.
        model: `keras.Model` of the network's layers in the form that is trained.
        store: `PictureStore` of the training pairs.
        validation: `PictureStore` of the pairs that are scored after each epoch.
        test_pairs: list of `Pair`, scored at the end.
        fresh: bool, an interrupted run was to be forgotten.
    """

    base: Path
    settings: Settings
    strategy: tf.distribute.Strategy
    epochs_done: int
    network: keras.Model
    model: keras.Model
    store: PictureStore
    validation: PictureStore
    test_pairs: list
    fresh: bool

    @property
    def work(self):
        """The folder of what an interrupted run goes on from."""
        return self.base / ".training"


def train(output, cache_dir=None, data_dir=None, cache="auto", pooling="auto", fresh=False, **settings):
    """Trains, exports and scores one network, or goes on where the same run was interrupted.

    Args:
        output: folder for all variants.
        cache_dir: where synthesised and decoded pairs are kept.
        data_dir: for the data "gopro", the folder of TFDS.
        cache: one of `configs.CACHES`, or "auto".
        pooling: of squeeze-and-excitation in what is exported, see `choose_pooling`.
        fresh: bool, forget an interrupted run instead of going on with it.
        settings: the fields of `Settings`.

    Returns:
        (version folder, summary of the final scores as `report.summarise` gives it);
        (None, None) on machines beside the chief, which write nothing.

    Raises:
        InputError: if data or output cannot be used, another run uses the output, an interrupted run had other
            settings, or the loss was not finite before the first epoch was over.
        Stopped: at the end of a step, after Ctrl-C or SIGTERM.
        distribution.WorkerLost: if another machine is gone; called again, it goes on.
    """
    settings = Settings(**settings)
    base = Path(output) / settings.variant
    chief = distribution.is_chief()
    try:
        with checkpoints.run_lock(base) if chief else contextlib.nullcontext():
            run = prepare(base, settings, cache_dir, data_dir, cache, fresh)
            with writing_explained(base, lambda: how_to_go_on(run)):
                fit(run)
                return finish(run, pooling) if chief else (None, None)
    except distribution.LOST as error:
        if distribution.cluster() is None:
            raise
        raise distribution.WorkerLost(type(error).__name__) from error


def prepare(base, settings, cache_dir=None, data_dir=None, cache="auto", fresh=False):
    """Finds the data, an interrupted run that goes on, and builds the network; the arguments are those of `train`.

    Returns:
        A `Run`.
    """
    strategy = distribution.strategy()  # before anything else that TensorFlow does
    devices = strategy.num_replicas_in_sync
    if settings.batch_size % devices:
        raise InputError(f"--batch-size {settings.batch_size} cannot be divided over {devices} devices")
    fresh = fresh and not distribution.was_restarted()
    work = base / ".training"

    source, pairs = find_data(settings, cache_dir, data_dir)
    cache_dir = Path(cache_dir or default_cache())
    kept, reason = source.kept(pairs["train"]), "as asked for"
    if cache == "auto":
        cache, reason = choose_cache(kept, cache_dir)
    settings = keep_crops_per_picture(settings, work, strategy, fresh)
    settings = fill_defaults(settings, pairs["train"], cache)
    require_size(pairs["train"], settings.crop, "by --crop")
    print(", ".join(f"{len(some)} {split} pairs" for split, some in pairs.items()))
    print(f"Cache: {cache} ({reason}), {settings.crops_per_picture} crops in a row per picture")

    recorded = dataclasses.asdict(settings)
    epochs_done = checkpoints.prepare(work, recorded, fresh) if distribution.is_chief() else 0
    epochs_done = distribution.broadcast_from_chief(strategy, epochs_done)
    distribution.check_agreement(strategy, recorded)
    if epochs_done:
        print(f"Going on after epoch {epochs_done} of {settings.epochs} (--fresh starts anew)")
    elif distribution.is_chief():
        start_anew(base, settings)
    network, model = build_network(settings, strategy, work, epochs_done)
    pool = max(POOL, settings.batch_size) * source.pictures_per_pair
    kept = open_store(kept, cache, cache_dir, pool)
    store = source.training_store(kept, pairs["train"])
    validation = InMemory(pairs["val"])
    return Run(base, settings, strategy, epochs_done, network, model, store, validation, pairs["test"], fresh)


def start_anew(base, settings):
    """Says that a run begins where a finished one is, and removes the logs of an interrupted one that was given up."""
    version = next_version(base)
    shutil.rmtree(base / "logs" / str(version), ignore_errors=True)
    if (base / "run.json").exists() and not settings.start_from:
        print(
            f"{base} holds a finished run; this one starts anew and becomes version {version} "
            f"(--start-from {base} goes on from its weights)"
        )


def find_data(settings, cache_dir, data_dir):
    """The source, and its pairs to train on, to validate with and to score at the end, measured: a dict by split."""
    options = settings.blur, settings.difficulty, cache_dir, data_dir, settings.sharp, settings.kind
    source = open_source(settings.data, *options)
    print(source.summary)
    limits = {"train": None, "val": VALIDATION_LIMIT, "test": TEST_LIMIT}
    pairs = {split: measure_pairs(evenly_spaced(source.pairs(split), limits[split])) for split in SPLITS}
    require_size(pairs["val"] + pairs["test"], metrics.SSIM_WINDOW, "by SSIM")
    return source, pairs


def keep_crops_per_picture(settings, work, strategy, fresh):
    """The settings with what an interrupted run chose: what fits in memory may have changed, how it goes on may not."""
    recorded = 0 if fresh else checkpoints.recorded_settings(work).get("crops_per_picture") or 0
    recorded = distribution.broadcast_from_chief(strategy, recorded)
    if settings.crops_per_picture is None and recorded:
        return dataclasses.replace(settings, crops_per_picture=recorded)
    return settings


def fill_defaults(settings, train_pairs, cache):
    """Fills in what is None: a crop that suits the pictures, one pass over them (at least 50 steps), and so on."""
    if settings.crop is not None and settings.crop < metrics.SSIM_WINDOW:
        raise InputError(f"--crop must be at least {metrics.SSIM_WINDOW}, which SSIM needs, not {settings.crop}")
    crop = settings.crop or (256 if all(min(pair.size) >= 256 for pair in train_pairs) else 64)
    steps = settings.steps_per_epoch or max(50, math.ceil(len(train_pairs) / settings.batch_size))
    crops = settings.crops_per_picture or (CROPS_WITHOUT_CACHE if cache == "none" else 1)
    return dataclasses.replace(settings, crop=crop, steps_per_epoch=steps, crops_per_picture=crops)


def build_network(settings, strategy, work, epochs_done):
    """The network, and the compiled model that trains it, in the state in which an interrupted run left them."""
    keras.utils.set_random_seed(settings.seed)
    keras.config.set_dtype_policy(settings.precision)
    devices = strategy.num_replicas_in_sync
    with strategy.scope():
        network = build(settings.variant, norm=settings.norm, head=settings.head, activation=settings.activation)
        if settings.start_from and not epochs_done:
            initialize_from(network, settings.start_from)
        model = prepare_for_fit(network, devices)
        compile_model(model, settings)
        if epochs_done:
            if distribution.is_chief():
                checkpoints.restore(model, work, epochs_done)
            distribution.copy_from_chief(strategy, checkpoints.state(model))
    parameters = f"{network.count_params():,} parameters"
    print(f"{settings.variant}: {parameters}, {settings.precision}, on {hardware.device_names()}")
    if advice := hardware.advice(network):
        print(advice)
    if devices > 1:
        part = settings.batch_size // devices
        print(f"{devices} devices, {part} of the {settings.batch_size} crops of a batch on each")
        print(f"Learning rate {settings.learning_rate}, for the whole batch")
    return network, model


def fit(run):
    """Trains the model of a `Run` to its last epoch; the best network so far lies in its work folder.

    Raises:
        InputError: if a batch does not fit in memory or a picture cannot be read.
        Stopped: see `train`.
    """
    settings, strategy = run.settings, run.strategy

    def training(share):
        first_step = run.epochs_done * settings.steps_per_epoch
        size, crops = (settings.batch_size, settings.crop), settings.crops_per_picture
        return training_batches(run.store, *size, settings.seed, first_step, crops, share)

    def validation(share):
        return validation_pictures(run.validation, share=share)

    stop = callbacks.StopAtStep()
    try:
        run.model.fit(
            distribution.distributed(strategy, training),
            initial_epoch=run.epochs_done,
            epochs=settings.epochs,
            steps_per_epoch=settings.steps_per_epoch,
            validation_data=distribution.distributed(strategy, validation),
            callbacks=[*callbacks.training_callbacks(run), stop],
            shuffle=False,
            verbose="auto" if distribution.is_chief() else 0,
        )
    except tf.errors.ResourceExhaustedError as error:
        size = f"{settings.batch_size} crops of {settings.crop}x{settings.crop}"
        raise InputError(f"{size} do not fit in memory: try a smaller --batch-size or --crop") from error
    except tf.errors.OpError as error:
        # A picture that could not be read surfaces here as an error of the pipeline.
        raise (run.store.error or run.validation.error or error) from None
    except Stopped as stopped:
        stopped.advice = how_to_go_on(run)
        raise
    finally:
        stop.restore()


def how_to_go_on(run):
    """A sentence for people whose run was interrupted."""
    done = checkpoints.completed_epochs(run.work)
    command = "The same command without --fresh" if run.fresh else "The same command"
    return f"{command} goes on after epoch {done} of {run.settings.epochs}"


def finish(run, pooling):
    """Publishes the best network of a `Run` that was trained; returns what `train` does."""
    if not (run.work / "best.keras").exists():
        shutil.rmtree(run.work)
        raise InputError(f"Training diverged at a learning rate of {run.settings.learning_rate}: try a smaller one")
    network = keras.saving.load_model(run.work / "best.keras", compile=False)
    network, pooling = choose_pooling(network, run.settings.crop, run.validation.pairs, pooling)
    folder, summary = publish(network, run.settings, run.base, run.work, run.test_pairs, pooling)
    shutil.rmtree(run.work)
    return folder, summary
