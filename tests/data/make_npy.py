"""Writes npy.h, the frozen arrays of tests/unit/test_npy.c: files as NumPy writes them, and their numbers in C order.

python make_npy.py > npy.h
"""

import io
import sys

import numpy as np

# Every type with its smallest, largest and special numbers.
REALS = [0.0, -0.0, 1.0, -1.5, 0.1, np.inf, -np.inf, np.nan]


def numbers(kind):
    kind = np.dtype(kind)
    if kind.kind == "b":
        return [False, True, True, False, True, False]
    if kind.kind in "iu":
        least, most = np.iinfo(kind).min, np.iinfo(kind).max
        return [least, most, 0, 1, most // 3, least // 3]
    floats = np.finfo(kind)
    return REALS + [floats.max, floats.min, floats.tiny, floats.smallest_subnormal]


def saved(array, version):
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=version)
    return out.getvalue()


def arrays():
    """name, array, format version."""
    for code in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"):
        for order in "<>" if code[1] != "1" else "|":
            yield order + code, np.array(numbers(code), order + code), (1, 0)
    cube = np.arange(24).reshape(2, 3, 4)
    for version in ((1, 0), (2, 0), (3, 0)):
        for order in "CF":
            for kind in ("<f8", ">i2"):
                yield f"{kind} {order} version {version[0]}", np.asarray(cube, kind, order), version
    yield "no axes", np.array(2.5), (1, 0)
    yield "one axis", np.array([7], "u1"), (1, 0)
    yield "empty", np.zeros((3, 0, 2)), (1, 0)
    yield "32 axes", np.arange(4.0).reshape((2,) + (1,) * 30 + (2,)), (1, 0)
    yield "32 axes, Fortran order", np.asfortranarray(np.arange(4, dtype="f4").reshape((2,) + (1,) * 30 + (2,))), (2, 0)


def literal(data):
    """A C string; digits after an octal escape need all three of its digits."""
    text = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in data)
    return f'"{text}"'


def real(value):
    if np.isnan(value):
        return "NAN"
    if np.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return float(value).hex()


def main():
    print(f"/* Made by make_npy.py with NumPy {np.__version__}, Python {sys.version.split()[0]}.")
    print(" * Do not edit; the type is in tests/unit/test_npy.c. */")
    print("#include <math.h>\n\n/* clang-format off */")
    print("static const npy_case npy_cases[] = {")
    for name, array, version in arrays():
        data = saved(array, version)
        shape = ", ".join(map(str, array.shape)) or "0"
        values = ", ".join(real(v) for v in array.astype("f8").ravel(order="C")) or "0"
        print(f'    {{"{name}", {len(data)}, {literal(data)},\n     {array.ndim}, {{{shape}}}, {array.size}, {{{values}}}}},')
    print("};")


main()
