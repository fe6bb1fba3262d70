"""Trains a network: `python train.py --help`, see `unet_deblur_tf/commands/train.py`."""

from unet_deblur_tf.commands.main import run_script

if __name__ == "__main__":
    run_script("train")
