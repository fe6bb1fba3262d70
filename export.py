"""Exports a trained network: `python export.py --help`, see `unet_deblur_tf/commands/export.py`."""

from unet_deblur_tf.commands.main import run_script

if __name__ == "__main__":
    run_script("export")
