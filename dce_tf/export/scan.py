"""Whether TensorFlow Serving has what a SavedModel runs: core ops, and no Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")
_MUST_COMPILE = "_XlaMustCompile"
# Core ops by which a model reaches files or other machines. Every kind of data set is
# among them: many are of files, and no export has one.
_REACHING = re.compile(
    r"(?!ShardedFilename$)"
    r".*(File|Dataset|Iterator|Reader|Record|LMDB|Summary|Debug|Print|Snapshot"
    r"|Remote|Collective|Nccl|TPU|PyFunc).*"
    r"|ImmutableConst|GenerateVocabRemapping|LoadAndRemapMatrix|ImportEvent"
    r"|_?Send|_?Recv|WorkerHeartbeat"
)
_OF_CHECKPOINTS = re.compile(r"(Save|Restore|DistributedSave|MergeV2Checkpoints).*")


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
    for graph in (each.graph_def for each in _read(folder).meta_graphs):
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


def find_reaching(folder: Path) -> Iterator[tuple[str, str]]:
    """Yields where a SavedModel reaches files or other machines, and by what.

    For a stranger's. Nothing that `export` writes does; its own variables are loaded by
    two functions that no signature calls. This is no sandbox: TensorFlow's ops are not
    made for hostile graphs.

    Args:
        folder: With `saved_model.pb`.
    """
    for meta in _read(folder).meta_graphs:
        loaders = {
            meta.saver_def.save_tensor_name.partition(":")[0],
            meta.saver_def.restore_op_name,
        }
        called = set(meta.object_graph_def.concrete_functions)
        of_loading: set[str] = set()
        for node in meta.graph_def.node:
            (of_loading if node.name in loaders else called).update(_calls(node))
        for function in meta.graph_def.library.function:
            called.update(name for node in function.node_def for name in _calls(node))
        yield from _reaching_nodes("The graph", meta.graph_def.node, _REACHING)
        yield from _reaching_nodes("The graph", meta.graph_def.node, _OF_CHECKPOINTS)
        for function in meta.graph_def.library.function:
            name = function.signature.name
            place = f"Function {name}"
            yield from _reaching_nodes(place, function.node_def, _REACHING)
            if name not in of_loading or name in called:
                yield from _reaching_nodes(place, function.node_def, _OF_CHECKPOINTS)


def _read(folder: Path) -> Any:
    proto = saved_model_pb2.SavedModel()
    proto.ParseFromString((folder / "saved_model.pb").read_bytes())
    return proto


def _calls(node: Any) -> Iterator[str]:
    """Yields the functions that a node may call."""
    for value in node.attr.values():
        if value.func.name:
            yield value.func.name
        yield from (each.name for each in value.list.func)


def _reaching_nodes(
    place: str, nodes: Any, ops: re.Pattern[str]
) -> Iterator[tuple[str, str]]:
    for node in nodes:
        if ops.fullmatch(node.op):
            yield (
                place,
                f"reaches files or other machines: op {node.op} of node {node.name}",
            )
