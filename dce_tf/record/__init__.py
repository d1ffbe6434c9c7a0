"""The record of an epoch: which values there are, and what carries them."""

from dce_tf.record.epoch import PARTS, RESERVED, EpochRecord, record_of
from dce_tf.record.numbers import as_number, keep_numbers
from dce_tf.record.values import (
    SELECTED_BY,
    VALUES,
    Value,
    format_seconds,
    format_value,
    tag_of,
    value_of,
)

__all__ = [
    "PARTS",
    "RESERVED",
    "SELECTED_BY",
    "VALUES",
    "EpochRecord",
    "Value",
    "as_number",
    "format_seconds",
    "format_value",
    "keep_numbers",
    "record_of",
    "tag_of",
    "value_of",
]
