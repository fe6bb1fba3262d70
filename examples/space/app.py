"""The page of `unet-deblur app` as a Hugging Face Space. Elsewhere, `python app.py` starts it for one machine alone."""

import os
import threading

from unet_deblur_tf.app.limits import Limits
from unet_deblur_tf.app.server import Server

server = Server(Limits(megapixels=12, megabytes=30, files=5, waiting=20, minutes=30))
demo = server.page  # the name by which a Space finds it

if __name__ == "__main__":
    in_space = os.environ.get("SYSTEM") == "spaces"
    print(server.start(host="0.0.0.0" if in_space else "127.0.0.1", port=7860), flush=True)
    threading.Event().wait()
