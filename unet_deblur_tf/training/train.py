"""One training run, from its settings to a published SavedModel with scores.

A run writes these files to `<output>/<variant>/`:

    1/                the SavedModel, under the next free version number; its `assets.extra/` contains copies of the
                      files below, because a later run replaces those
    model.keras       the same network for Keras
    history.csv       losses and metrics of each epoch
    run.json          every setting, package versions, final scores
    comparison.png    blurred, restored and sharp pictures of the test split
    logs/1/           logs for TensorBoard, by version
    .training/        during the run: the state from which an interrupted run continues
"""

import contextlib
import dataclasses
import math
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from unet_deblur_tf.data.pairs import Pair, evenly_spaced, measure_pairs, require_size
from unet_deblur_tf.data.pipeline import training_batches, validation_pictures
from unet_deblur_tf.data.sources import open_source
from unet_deblur_tf.data.store import POOL, Centres, PictureStore, choose_cache, open_store
from unet_deblur_tf.errors import InputError, Stopped
from unet_deblur_tf.evaluation import metrics
from unet_deblur_tf.models.finding import next_version
from unet_deblur_tf.models.loading import initialize_from
from unet_deblur_tf.models.unet import build
from unet_deblur_tf.training import callbacks, checkpoints, distribution
from unet_deblur_tf.training.compiling import compile_model, prepare_for_fit
from unet_deblur_tf.training.publishing import choose_pooling, publish
from unet_deblur_tf.utils import hardware
from unet_deblur_tf.utils.files import default_cache, writing_explained
from unet_deblur_tf.utils.precision import advice

SPLITS = ("train", "val", "test")
VALIDATION_LIMIT = 32  # largest number of pictures scored after each epoch, evenly spaced
TEST_LIMIT = 100  # largest number of pictures scored at the end; evaluate.py scores all of them
CROPS_WITHOUT_CACHE = 12  # crops per decoded picture without a cache, where decoding takes most of the time


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings that determine a run. `run.json` records them, and an interrupted run continues only with the same.

    The fields are the flags of `train.py`, except that `kind` is `--as`. `steps_per_epoch`, `crop` and
    `crops_per_picture` can be None: `prepare` then chooses values that suit the pictures.
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
    """A training run in progress: `prepare` creates it, `fit` trains its model and `finish` publishes the network.

    Attributes:
        base: `Path`, the model base path.
        settings: `Settings`, completed by `fill_defaults`.
        strategy: `tf.distribute.Strategy`.
        epochs_done: int, number of epochs that an interrupted run completed, which this run continues.
        network: `keras.Model` as `models.unet` builds it; this one is saved.
        model: `keras.Model` with the layers of `network`, in the form that is trained.
        store: `PictureStore` of the training pairs.
        validation: `PictureStore` of the pairs that are scored after each epoch.
        test_pairs: list of `Pair`, scored at the end.
        fresh: bool, whether `--fresh` discarded an interrupted run.
    """

    base: Path
    settings: Settings
    strategy: tf.distribute.Strategy
    epochs_done: int
    network: keras.Model
    model: keras.Model
    store: PictureStore
    validation: PictureStore
    test_pairs: list[Pair]
    fresh: bool

    @property
    def work(self) -> Path:
        """The folder with the state from which an interrupted run continues."""
        return self.base / ".training"


def train(
    output: str | Path,
    cache_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    cache: str = "auto",
    pooling: str = "auto",
    fresh: bool = False,
    **options,
) -> tuple[Path | None, dict | None]:
    """Trains, exports and scores one network. If the same run was interrupted before, continues it.

    Args:
        output: folder for all variants.
        cache_dir: folder for synthesised and decoded pairs; None for the user's cache folder.
        data_dir: see `sources.open_source`.
        cache: one of `configs.CACHES`, or "auto".
        pooling: pooling of squeeze-and-excitation in the exported network, see `publishing.choose_pooling`.
        fresh: bool, whether to discard an interrupted run instead of continuing it.
        **options: the fields of `Settings`.

    Returns:
        (version folder, summary of the final scores, see `report.summarise`). On machines other than the chief, which
        write nothing, (None, None).

    Raises:
        InputError: if the data or the output folder cannot be used, another run is using the output folder, an
            interrupted run had other settings, or no epoch ended with a finite loss.
        Stopped: after Ctrl-C or SIGTERM, at the end of a step.
        distribution.WorkerLost: if another machine is gone; a second call continues the run.
    """
    settings = Settings(**options)
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
    """Opens the data, looks for an interrupted run and builds the network.

    Args:
        base: `Path`, the model base path.
        settings: `Settings`.
        cache_dir, data_dir, cache, fresh: see `train`.

    Returns:
        A `Run`.

    Raises:
        InputError: see `train`.
    """
    require_no_other_network(base)
    strategy = distribution.strategy()  # before any other use of TensorFlow
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
    settings = choose_crops_per_picture(settings, work, strategy, cache, fresh)
    settings = fill_defaults(settings, pairs["train"])
    require_size(pairs["train"], settings.crop, "by --crop")
    print(", ".join(f"{len(of_split)} {split} pairs" for split, of_split in pairs.items()))
    print(f"Cache: {cache} ({reason}), {settings.crops_per_picture} crops in a row per picture")

    recorded = dataclasses.asdict(settings)
    # Of frames, only --data-dir says which. A published set is the same wherever it is.
    which = {"data_dir": str(Path(data_dir).resolve())} if settings.data == "frames" else {}
    resumable = distribution.is_chief() and not fresh
    epochs_done = checkpoints.epochs_to_resume(work, {**recorded, **which}) if resumable else 0
    epochs_done = distribution.broadcast_from_chief(strategy, epochs_done)
    distribution.check_agreement(strategy, recorded)
    if epochs_done:
        print(f"Going on after epoch {epochs_done} of {settings.epochs} (--fresh starts anew)")
    elif distribution.is_chief():
        tell_of_finished_run(base, settings)
    network, model = build_network(settings, strategy, work, epochs_done)
    pool = max(POOL, settings.batch_size) * source.pictures_per_pair
    kept = open_store(kept, cache, cache_dir, pool)
    store = source.training_store(kept, pairs["train"])
    validation = Centres(pairs["val"])
    if not epochs_done and distribution.is_chief():
        # Only now that this run can start, and has read what it starts from, is an interrupted one discarded.
        shutil.rmtree(base / "logs" / str(next_version(base)), ignore_errors=True)
        checkpoints.begin(work, {**recorded, **which})
    return Run(base, settings, strategy, epochs_done, network, model, store, validation, pairs["test"], fresh)


def require_no_other_network(base: Path) -> None:
    """Raises an `InputError` if the folder has a network that no run put there, and that this one would replace."""
    if (base / "model.keras").exists() and not (base / "run.json").exists():
        raise InputError(
            f"{base / 'model.keras'} was not made by training here, and would be replaced at the end: move it, or "
            "choose another --output"
        )


def tell_of_finished_run(base: Path, settings: Settings) -> None:
    """Tells the user if the folder contains a finished run, which they may have wanted to continue."""
    if (base / "run.json").exists() and not settings.start_from:
        print(
            f"{base} holds a finished run; this one starts anew and becomes version {next_version(base)} "
            f"(--start-from {base} goes on from its weights)"
        )


def find_data(settings: Settings, cache_dir: str | Path | None, data_dir: str | Path | None):
    """Opens the source of the pairs and reads the sizes of the pictures.

    Returns:
        (a `sources.Source`, dict from each of `SPLITS` to a list of `Pair`).
    """
    options = settings.blur, settings.difficulty, cache_dir, data_dir, settings.sharp, settings.kind
    source = open_source(settings.data, *options)
    print(source.summary)
    limits = {"train": None, "val": VALIDATION_LIMIT, "test": TEST_LIMIT}
    pairs = {split: measure_pairs(evenly_spaced(source.pairs(split), limits[split])) for split in SPLITS}
    require_size(pairs["val"] + pairs["test"], metrics.SSIM_WINDOW, "by SSIM")
    return source, pairs


def choose_crops_per_picture(settings: Settings, work: Path, strategy, cache: str, fresh: bool) -> Settings:
    """Sets `crops_per_picture` if it is None: the same on all machines, and in all parts of an interrupted run.

    Whatever fits in memory today, an interrupted run keeps its value. Otherwise each decoded picture gives one crop, or
    `CROPS_WITHOUT_CACHE` without a cache.
    """
    recorded = None if fresh else checkpoints.recorded_settings(work).get("crops_per_picture")
    chosen = recorded or (CROPS_WITHOUT_CACHE if cache == "none" else 1)
    chosen = distribution.broadcast_from_chief(strategy, chosen)
    return dataclasses.replace(settings, crops_per_picture=settings.crops_per_picture or chosen)


def fill_defaults(settings: Settings, train_pairs: list) -> Settings:
    """Replaces `crop` and `steps_per_epoch` if they are None.

    The crop is 256 pixels, or 64 if a training picture is smaller than that. An epoch is one pass over the training
    pairs, but at least 50 steps.

    Raises:
        InputError: if the crop is too small for SSIM.
    """
    if settings.crop is not None and settings.crop < metrics.SSIM_WINDOW:
        raise InputError(f"--crop must be at least {metrics.SSIM_WINDOW}, which SSIM needs, not {settings.crop}")
    crop = settings.crop or (256 if all(min(pair.size) >= 256 for pair in train_pairs) else 64)
    steps = settings.steps_per_epoch or max(50, math.ceil(len(train_pairs) / settings.batch_size))
    return dataclasses.replace(settings, crop=crop, steps_per_epoch=steps)


def build_network(settings, strategy, work, epochs_done):
    """Builds the network and the compiled model that trains it, and restores the state of an interrupted run.

    Returns:
        (network, model), see `Run`.
    """
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
    if note := advice(settings.precision):
        print(note)
    if devices > 1:
        crops_each = settings.batch_size // devices
        print(f"{devices} devices, {crops_each} of the {settings.batch_size} crops of a batch on each")
        print(f"Learning rate {settings.learning_rate}, for the whole batch")
    return network, model


def fit(run: Run) -> None:
    """Trains the model of a `Run` to its last epoch. The best network is saved to the work folder.

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
        # An unreadable picture arrives here as an error of the `tf.data` pipeline. Raise the original error instead.
        raise (run.store.error or run.validation.error or error) from None
    except Stopped as stopped:
        stopped.advice = how_to_go_on(run)
        raise
    finally:
        stop.restore()


def how_to_go_on(run: Run) -> str:
    """Tells the user of an interrupted run how to continue it."""
    done = checkpoints.completed_epochs(run.work)
    command = "The same command without --fresh" if run.fresh else "The same command"
    return f"{command} goes on after epoch {done} of {run.settings.epochs}"


def finish(run: Run, pooling: str) -> tuple[Path, dict]:
    """Publishes the best network of a trained `Run`; for `pooling`, the result and the error see `train`."""
    if not (run.work / "best.keras").exists():
        shutil.rmtree(run.work)
        raise InputError(f"Training diverged at a learning rate of {run.settings.learning_rate}: try a smaller one")
    network = keras.saving.load_model(run.work / "best.keras", compile=False)
    network, pooling = choose_pooling(network, run.settings.crop, run.validation.pairs, pooling)
    folder, summary = publish(network, run.settings, run.base, run.work, run.test_pairs, pooling)
    shutil.rmtree(run.work)
    return folder, summary
