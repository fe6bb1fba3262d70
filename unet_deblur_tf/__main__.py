"""`python -m unet_deblur_tf COMMAND ...` is `unet-deblur COMMAND ...`."""

from unet_deblur_tf.commands.main import main

if __name__ == "__main__":
    main()
