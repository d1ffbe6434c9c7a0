"""Runs a SavedModel through TensorFlow's C API, without Python TensorFlow.

    python run_saved_model.py EXPORT_DIR SIGNATURES_JSON REQUEST.npz RESULT.npy

That is how TensorFlow Serving loads and runs a model: what needs a Python kernel or a
custom op fails here as it fails there. SIGNATURES_JSON holds the name of the input and
output tensor; REQUEST.npz an array `bytes` of uint8 with `lengths`, for a string input,
or an array `images`. A failure prints the runtime's message and exits with 1.
"""

import ctypes
import json
import sys
import sysconfig
from pathlib import Path

import numpy as np

FLOAT, STRING, STRING_SIZE = 1, 7, 24


class Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class Runtime:
    def __init__(self) -> None:
        root = Path(sysconfig.get_paths()["purelib"]) / "tensorflow"
        ctypes.CDLL(str(root / "libtensorflow_framework.so.2"))
        # Local symbols: its TLS library must not meet Python's.
        self.lib = ctypes.CDLL(str(root / "libtensorflow_cc.so.2"))
        for name in (
            "TF_NewStatus",
            "TF_NewGraph",
            "TF_NewSessionOptions",
            "TF_LoadSessionFromSavedModel",
            "TF_AllocateTensor",
            "TF_TensorData",
            "TF_GraphOperationByName",
        ):
            getattr(self.lib, name).restype = ctypes.c_void_p
        self.lib.TF_Message.restype = ctypes.c_char_p
        self.lib.TF_Dim.restype = ctypes.c_int64
        self.status = ctypes.c_void_p(self.lib.TF_NewStatus())

    def check(self) -> None:
        if self.lib.TF_GetCode(self.status):
            sys.exit(self.lib.TF_Message(self.status).decode(errors="replace"))

    def load(self, folder: str) -> None:
        self.graph = ctypes.c_void_p(self.lib.TF_NewGraph())
        options = ctypes.c_void_p(self.lib.TF_NewSessionOptions())
        tags = (ctypes.c_char_p * 1)(b"serve")
        session = self.lib.TF_LoadSessionFromSavedModel(
            options, None, folder.encode(), tags, 1, self.graph, None, self.status
        )
        self.check()
        self.session = ctypes.c_void_p(session)

    def tensor(self, kind: int, shape: tuple[int, ...], size: int) -> ctypes.c_void_p:
        dims = (ctypes.c_int64 * len(shape))(*shape)
        allocated = self.lib.TF_AllocateTensor(
            kind, dims, len(shape), ctypes.c_size_t(size)
        )
        return ctypes.c_void_p(allocated)

    def strings(self, blobs: list[bytes]) -> ctypes.c_void_p:
        tensor = self.tensor(STRING, (len(blobs),), STRING_SIZE * len(blobs))
        data = self.lib.TF_TensorData(tensor)
        for i, blob in enumerate(blobs):
            slot = ctypes.c_void_p(data + STRING_SIZE * i)
            self.lib.TF_StringInit(slot)
            self.lib.TF_StringCopy(
                slot, ctypes.c_char_p(blob), ctypes.c_size_t(len(blob))
            )
        return tensor

    def floats(self, array: np.ndarray) -> ctypes.c_void_p:
        tensor = self.tensor(FLOAT, array.shape, array.nbytes)
        ctypes.memmove(self.lib.TF_TensorData(tensor), array.ctypes.data, array.nbytes)
        return tensor

    def output(self, name: str) -> Output:
        operation, index = name.split(":")
        found = self.lib.TF_GraphOperationByName(self.graph, operation.encode())
        return Output(found, int(index))

    def run(self, source: str, fed: ctypes.c_void_p, target: str) -> np.ndarray:
        inputs, outputs = (
            (Output * 1)(self.output(source)),
            (Output * 1)(self.output(target)),
        )
        feeds, fetched = (ctypes.c_void_p * 1)(fed), (ctypes.c_void_p * 1)()
        none = (None, 0, None)
        self.lib.TF_SessionRun(
            self.session,
            None,
            inputs,
            feeds,
            1,
            outputs,
            fetched,
            1,
            *none,
            self.status,
        )
        self.check()
        got = ctypes.c_void_p(fetched[0])
        rank = self.lib.TF_NumDims(got)
        result = np.empty([self.lib.TF_Dim(got, i) for i in range(rank)], np.float32)
        ctypes.memmove(result.ctypes.data, self.lib.TF_TensorData(got), result.nbytes)
        return result


def main(folder: str, signature: str, request: str, result: str) -> None:
    source, target = json.loads(signature)
    runtime = Runtime()
    runtime.load(folder)
    given = np.load(request)
    if "images" in given:
        fed = runtime.floats(given["images"])
    else:
        ends = np.cumsum(given["lengths"])
        parts = np.split(given["bytes"], ends[:-1]) if len(ends) else []
        fed = runtime.strings([part.tobytes() for part in parts])
    np.save(result, runtime.run(source, fed, target))


if __name__ == "__main__":
    main(*sys.argv[1:])
