"""Runs a SavedModel through TensorFlow's C API, without Python TensorFlow.

    python run_saved_model.py EXPORT_DIR SIGNATURE_JSON REQUEST.npz RESULT.npz

That is how TensorFlow Serving loads and runs a model: what needs a Python kernel or a
custom op fails here as it fails there. SIGNATURE_JSON holds the name of the input and
those of the output tensors, by key; REQUEST.npz an array `bytes` of uint8 with
`lengths`, for a string input, or an array `images`. RESULT.npz has an array an output,
strings as bytes. A failure prints the runtime's message and exits with 1.
"""

import ctypes
import json
import math
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
            "TF_StringGetDataPointer",
        ):
            getattr(self.lib, name).restype = ctypes.c_void_p
        self.lib.TF_StringGetSize.restype = ctypes.c_size_t
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

    def run(
        self, source: str, fed: ctypes.c_void_p, targets: list[str]
    ) -> list[np.ndarray]:
        count = len(targets)
        inputs = (Output * 1)(self.output(source))
        outputs = (Output * count)(*map(self.output, targets))
        feeds, fetched = (ctypes.c_void_p * 1)(fed), (ctypes.c_void_p * count)()
        none = (None, 0, None)
        self.lib.TF_SessionRun(
            self.session,
            None,
            inputs,
            feeds,
            1,
            outputs,
            fetched,
            count,
            *none,
            self.status,
        )
        self.check()
        return [self.array(ctypes.c_void_p(tensor)) for tensor in fetched]

    def array(self, tensor: ctypes.c_void_p) -> np.ndarray:
        rank = self.lib.TF_NumDims(tensor)
        shape = [self.lib.TF_Dim(tensor, i) for i in range(rank)]
        data = self.lib.TF_TensorData(tensor)
        if self.lib.TF_TensorType(tensor) == STRING:
            slots = range(data, data + STRING_SIZE * math.prod(shape), STRING_SIZE)
            return np.array([self.text(slot) for slot in slots], "S").reshape(shape)
        result = np.empty(shape, np.float32)
        ctypes.memmove(result.ctypes.data, data, result.nbytes)
        return result

    def text(self, address: int) -> bytes:
        slot = ctypes.c_void_p(address)
        size = self.lib.TF_StringGetSize(slot)
        return ctypes.string_at(self.lib.TF_StringGetDataPointer(slot), size)


def main(folder: str, signature: str, request: str, result: str) -> None:
    source, targets = json.loads(signature)
    runtime = Runtime()
    runtime.load(folder)
    given = np.load(request)
    if "images" in given:
        fed = runtime.floats(given["images"])
    else:
        ends = np.cumsum(given["lengths"])
        parts = np.split(given["bytes"], ends[:-1]) if len(ends) else []
        fed = runtime.strings([part.tobytes() for part in parts])
    received = runtime.run(source, fed, list(targets.values()))
    np.savez(result, **dict(zip(targets, received, strict=True)))


if __name__ == "__main__":
    main(*sys.argv[1:])
