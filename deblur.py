"""Restores blurry photos and videos: `python deblur.py --help`, see `unet_deblur_tf/commands/deblur.py`."""

from unet_deblur_tf.commands.main import run_script

if __name__ == "__main__":
    run_script("deblur")
