"""Whether TensorFlow Serving has what a SavedModel runs: core ops, and no Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")
_MUST_COMPILE = "_XlaMustCompile"


def require_core_ops(folder: Path) -> None:
    """Checks the graph and all functions of a SavedModel.

    Args:
        folder: With `saved_model.pb`.

    Raises:
        ValueError: If something in it needs a Python process, an op that TensorFlow
            itself does not have, or a compiler at run time.
    """
    for place, found in find_foreign(folder):
        raise ValueError(
            f"{place} of the exported model {found}; expected core TensorFlow ops "
            "only, as TensorFlow Serving has no others. Nothing was written. Replace "
            "the layer of the backbone that it comes from."
        )


def find_foreign(folder: Path) -> Iterator[tuple[str, str]]:
    """Yields where a SavedModel needs what TensorFlow Serving lacks, and what."""
    proto = saved_model_pb2.SavedModel()
    proto.ParseFromString((folder / "saved_model.pb").read_bytes())
    for graph in (each.graph_def for each in proto.meta_graphs):
        functions = {each.signature.name for each in graph.library.function}
        yield from _foreign_nodes("The graph", graph.node, functions)
        for function in graph.library.function:
            place = f"Function {function.signature.name}"
            if function.attr[_MUST_COMPILE].b:
                yield place, "must be compiled by XLA (jit_compile=True)"
            yield from _foreign_nodes(place, function.node_def, functions)


def _foreign_nodes(
    place: str, nodes: Any, functions: set[str]
) -> Iterator[tuple[str, str]]:
    for node in nodes:
        if node.op in _PYTHON:
            yield place, f"calls Python: op {node.op} of node {node.name}"
        elif node.op not in functions and not hasattr(tf.raw_ops, node.op):
            yield place, f"has a custom op: {node.op} of node {node.name}"
        if node.attr[_MUST_COMPILE].b:
            yield (
                place,
                f"must be compiled by XLA (jit_compile=True): node {node.name}",
            )
