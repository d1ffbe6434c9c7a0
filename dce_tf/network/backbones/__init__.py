"""Backbones: one family a file, each from 0–255 RGB to a feature map or vector."""

import keras

from dce_tf.base.registry import Registry, import_siblings

BACKBONES: Registry[keras.Model] = Registry("backbone", context=("image_size",))

import_siblings(__name__, __path__)

from dce_tf.network.backbones.choose import (  # noqa: E402
    build_backbone,
    check_backbone,
    check_backbone_file,
)

__all__ = ["BACKBONES", "build_backbone", "check_backbone", "check_backbone_file"]
