"""Trains a U-Net for deblurring, scores it and exports it for TensorFlow Serving.

{program} --variant concat_se                                  synthetic scenes, minutes on a CPU
{program} --variant unet --data photos/ --difficulty mixed     your sharp photos, with synthetic blur
{program} --variant unet --data pairs/ --epochs 300            pairs in GoPro's layout, or {blur,sharp}/
{program} --variant unet --data gopro --data-dir DIR           GoPro, from GOPRO_Large.zip in DIR
{program} --variant unet --recipe original                     the recipe of the original student project

To continue an interrupted run, give the same command again.
"""

from unet_deblur_tf.commands import flags
from unet_deblur_tf.configs import (
    ACTIVATIONS,
    CACHES,
    HEADS,
    LOSSES,
    NORMS,
    OPTIMIZERS,
    POOLINGS,
    PRECISIONS,
    RECIPES,
    SCHEDULES,
    VARIANTS,
)
from unet_deblur_tf.utils.scripts import command_line, quiet_tensorflow


def add_arguments(parser):
    """Adds the flags of the command."""
    parser.add_argument(
        "--variant", choices=VARIANTS, default="unet", help="the network to train (default: %(default)s)"
    )
    flags.add_data_arguments(parser)
    parser.add_argument("--epochs", type=flags.positive_int, default=8, help="number of epochs (default: %(default)s)")
    parser.add_argument(
        "--steps-per-epoch", type=flags.positive_int, help="default: one pass over the pairs, but at least 50"
    )
    parser.add_argument(
        "--crop",
        type=flags.positive_int,
        help="side of the training crops in pixels (default: 256, or 64 if a picture is smaller than that)",
    )
    parser.add_argument(
        "--cache",
        choices=("auto", *CACHES),
        default="auto",
        help="where decoded training pictures are kept (default: auto, the first of memory and disk with room)",
    )
    parser.add_argument(
        "--crops-per-picture",
        type=flags.positive_int,
        metavar="N",
        help="crops taken from a picture before the next one is decoded (default: 1, or 12 with --cache none)",
    )
    parser.add_argument("--output", default="saved_models", help="folder for all variants (default: %(default)s/)")
    parser.add_argument("--seed", type=flags.seed, default=0, help="seed of weights and crops (default: %(default)s)")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="default: %(default)s")
    parser.add_argument(
        "--start-from",
        metavar="MODEL",
        help="start from the weights of a trained network of the same variant, norm, head and activation; or from a "
        "unet, whose exact function every variant except lite and naf can take over",
    )
    parser.add_argument("--fresh", action="store_true", help="discard an interrupted run instead of continuing it")
    parser.add_argument(
        "--pooling",
        choices=POOLINGS,
        default="auto",
        help="pooling of squeeze-and-excitation in the exported network (default: auto, the one that scores higher on "
        "validation pictures)",
    )
    parser.add_argument(
        "--recipe", choices=RECIPES, default="default", help="defaults of the flags below (default: %(default)s)"
    )
    parser.add_argument("--batch-size", type=flags.positive_int, help="crops of a training step")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, help="muon leaves all but kernels to AdamW")
    parser.add_argument("--learning-rate", type=flags.positive_float, help="the highest of the schedule")
    parser.add_argument("--schedule", choices=SCHEDULES, help="how the learning rate falls")
    parser.add_argument("--loss", choices=LOSSES, help="the function that training minimizes, or a sum of several")
    parser.add_argument("--norm", choices=NORMS, help="normalization after each convolution")
    parser.add_argument("--head", choices=HEADS, help="residual: a correction is added to the input; or a sigmoid")
    parser.add_argument("--activation", choices=ACTIVATIONS, help="after each convolution")


def main(arguments):
    """Runs the command with parsed flags."""
    quiet_tensorflow()
    from unet_deblur_tf.evaluation.report import table
    from unet_deblur_tf.exporting import export
    from unet_deblur_tf.training import distribution, train

    options = vars(arguments)
    recipe = RECIPES[options.pop("recipe")]
    options.update({key: value for key, value in recipe.items() if options[key] is None})
    try:
        folder, summary = train.train(**options)
    except distribution.WorkerLost as lost:
        distribution.restart_process(lost)
    if folder is None:
        print("Done; the first worker writes the trained network")
        return
    print(f"\n{table(summary)}\n")
    base = folder.parent
    print(*export.published(folder), sep="\n")
    print(f"Keras model      {base / 'model.keras'}")
    print(f"Pictures         {base / 'comparison.png'}")
    print(f"Settings, scores {base / 'run.json'}, {base / 'history.csv'}")
    data = flags.data_flags(options)
    evaluate = command_line("evaluate")
    print(f"Next             {evaluate} --model {base}{data} --report reports/{base.name}/{folder.name}")
