"""Scores a network on pairs: `python evaluate.py --help`, see `unet_deblur_tf/commands/evaluate.py`."""

from unet_deblur_tf.commands.main import run_script

if __name__ == "__main__":
    run_script("evaluate")
