"""The networks: layers, blocks, assembly, and trained ones. Importing it lets Keras load files that hold our layers."""

from unet_deblur_tf.models import layers as layers
from unet_deblur_tf.models.unet import build as build
