"""Reads MNIST's files and writes a digit as a PNG, with the standard library only."""

import gzip
import pathlib
import struct
import zlib


def idx(path):
    """Returns the dimensions and the bytes of an IDX file, which may be gzipped; `path` is without .gz."""
    plain = pathlib.Path(path)
    content = plain.read_bytes() if plain.exists() else gzip.decompress(pathlib.Path(f"{path}.gz").read_bytes())
    count = content[3]
    return struct.unpack(f">{count}I", content[4 : 4 + 4 * count]), content[4 + 4 * count :]


def save_png(path, width, height, gray):
    """Writes a PNG of gray pixels, one byte each."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + gray[row * width : (row + 1) * width] for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    pathlib.Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
