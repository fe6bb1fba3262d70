"""Explains a network: `python explain.py --help`, see `unet_deblur_tf/commands/explain.py`."""

from unet_deblur_tf.commands.main import run_script

if __name__ == "__main__":
    run_script("explain")
