"""The networks: layers, blocks, assembly, and loading trained ones. Importing it registers the layers with Keras."""

from unet_deblur_tf.models import layers as layers
from unet_deblur_tf.models.unet import build as build
