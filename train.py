"""Trains a deblurring U-Net, scores it and exports it for TensorFlow Serving.

python train.py --variant concat_se                                  scenes made in code, minutes on a CPU
python train.py --variant unet --data photos/ --difficulty mixed     your sharp photos, blurred by us
python train.py --variant unet --data pairs/ --epochs 300            pairs in GoPro's layout, or {blur,sharp}/
python train.py --variant unet --data gopro --data-dir DIR           GoPro, from GOPRO_Large.zip in DIR
python train.py --variant unet --recipe seed                         Adam and 1 - SSIM, as the seed project

The same command goes on where an interrupted run stopped.
"""

import argparse

from unet_deblur_tf import cli
from unet_deblur_tf.data.store import CACHES
from unet_deblur_tf.recipes import LOSSES, OPTIMIZERS, POOLINGS, PRECISIONS, RECIPES, SCHEDULES
from unet_deblur_tf.variants import ACTIVATIONS, HEADS, NORMS, VARIANTS


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=VARIANTS, default="unet", help="which network (default: %(default)s)")
    cli.add_data_arguments(parser)
    parser.add_argument("--epochs", type=cli.positive_int, default=8, help="default: %(default)s")
    parser.add_argument(
        "--steps-per-epoch", type=cli.positive_int, help="default: one pass over the pairs, at least 50"
    )
    parser.add_argument(
        "--crop",
        type=cli.positive_int,
        help="side of the training windows; default: 256, or 64 if pictures are smaller",
    )
    parser.add_argument(
        "--cache",
        choices=("auto", *CACHES),
        default="auto",
        help="where decoded training pictures are kept (default: memory, disk or none, whichever they fit in first)",
    )
    parser.add_argument(
        "--crops-per-picture",
        type=cli.positive_int,
        metavar="N",
        help="windows cut from a picture before the next one is decoded; default: 1, or 12 where none are kept",
    )
    parser.add_argument("--output", default="saved_models", help="default: %(default)s/")
    parser.add_argument("--seed", type=cli.seed, default=0, help="of weights and windows (default: %(default)s)")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="default: %(default)s")
    parser.add_argument(
        "--start-from", metavar="MODEL", help="begin with the weights of a trained network of the same variant and norm"
    )
    parser.add_argument("--fresh", action="store_true", help="forget an interrupted run instead of going on with it")
    parser.add_argument(
        "--pooling",
        choices=POOLINGS,
        default="auto",
        help="of squeeze-and-excitation in the exported network (default: what scores higher on validation pictures)",
    )
    parser.add_argument("--recipe", choices=RECIPES, default="default", help="what the following default to")
    parser.add_argument("--batch-size", type=cli.positive_int)
    parser.add_argument("--optimizer", choices=OPTIMIZERS)
    parser.add_argument("--learning-rate", type=cli.positive_float)
    parser.add_argument("--schedule", choices=SCHEDULES)
    parser.add_argument("--loss", choices=LOSSES)
    parser.add_argument("--norm", choices=NORMS)
    parser.add_argument("--head", choices=HEADS)
    parser.add_argument("--activation", choices=ACTIVATIONS)
    return parser.parse_args()


def main(arguments):
    cli.quiet_tensorflow()
    from unet_deblur_tf import distribution, evaluation, exporting, training

    options = vars(arguments)
    recipe = RECIPES[options.pop("recipe")]
    options.update({key: value for key, value in recipe.items() if options[key] is None})
    try:
        folder, summary = training.train(**options)
    except distribution.WorkerLost as lost:
        distribution.start_again(lost)
    if folder is None:
        print("Done; the first worker writes what was trained")
        return
    print(f"\n{evaluation.table(summary)}\n")
    base = folder.parent
    print(*exporting.published(folder), sep="\n")
    print(f"Keras model      {base / 'model.keras'}")
    print(f"Pictures         {base / 'comparison.png'}")
    print(f"Settings, scores {base / 'run.json'}, {base / 'history.csv'}")
    data = cli.data_flags(options)
    print(f"Next             python evaluate.py --model {base}{data} --report reports/{base.name}/{folder.name}")


if __name__ == "__main__":
    cli.run(main, parse_arguments())
