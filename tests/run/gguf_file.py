"""A minimal writer of GGUF model files, version 3: header, key values, tensors of float32 or float16, alignment 32.

Written from the format's description (ggml/docs/gguf.md in llama.cpp): little endian; a string's length has 64 bits;
tensor shapes begin with the fastest axis; offsets count from the first aligned byte behind the header."""
import pathlib
import struct

import numpy as np

ALIGNMENT = 32
U16, I32, U32, F32, BOOL, STRING, ARRAY = 2, 5, 4, 6, 7, 8, 9
FORMATS = {U16: "<H", I32: "<i", U32: "<I", F32: "<f", BOOL: "<?"}
TENSOR_TYPES = {np.dtype("f4"): 0, np.dtype("f2"): 1}


class U16Value(int):
    """The keys of a split file are 16 bits wide."""


class I32Value(int):
    """int is written as u32; this one with a sign."""


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def kind_of(value):
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, float):
        return F32
    if isinstance(value, (str, bytes)):
        return STRING
    if isinstance(value, U16Value):
        return U16
    return I32 if isinstance(value, I32Value) else U32


def scalar(kind, value):
    return text(value) if kind == STRING else struct.pack(FORMATS[kind], value)


def key_value(key, value):
    if not isinstance(value, list):
        kind = kind_of(value)
        return text(key) + struct.pack("<I", kind) + scalar(kind, value)
    kind = kind_of(value[0])
    head = struct.pack("<IIQ", ARRAY, kind, len(value))
    return text(key) + head + b"".join(scalar(kind, item) for item in value)


def aligned(size):
    return -size % ALIGNMENT


def header(keys, tensors):
    """Everything before the tensors' data, with the padding behind it."""
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(keys))]
    parts += [key_value(key, value) for key, value in keys.items()]
    offset = 0
    for name, values in tensors.items():
        shape = values.shape[::-1]
        parts += [text(name), struct.pack("<I", len(shape)), struct.pack(f"<{len(shape)}Q", *shape),
                  struct.pack("<IQ", TENSOR_TYPES[values.dtype], offset)]
        offset += values.nbytes + aligned(values.nbytes)
    data = b"".join(parts)
    return data + bytes(aligned(len(data)))


def write(path, keys, tensors):
    """One file. tensors: name -> array of float32 or float16, its last axis the fastest."""
    tensors = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
    data = [header(keys, tensors)]
    for values in tensors.values():
        data += [values.tobytes(), bytes(aligned(values.nbytes))]
    pathlib.Path(path).write_bytes(b"".join(data))
    return path


def write_split(prefix, keys, tensors, parts):
    """The same model in parts, PREFIX-0000a-of-0000b.gguf; the first one holds all keys. Returns the paths."""
    names = list(tensors)
    cuts = [len(names) * a // parts for a in range(parts + 1)]
    paths = []
    for a in range(parts):
        mine = {"split.no": U16Value(a), "split.count": U16Value(parts), "split.tensors.count": I32Value(len(names))}
        path = pathlib.Path(f"{prefix}-{a + 1:05d}-of-{parts:05d}.gguf")
        write(path, {**(keys if a == 0 else {}), **mine}, {n: tensors[n] for n in names[cuts[a]:cuts[a + 1]]})
        paths.append(path)
    return paths
