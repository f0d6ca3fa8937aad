"""Reads files with pydicom and its plug-ins in two or more processes; a line of JSON in, a line of JSON out."""

import json
import multiprocessing
import sys
import time

import pydicom
from pydicom.pixels.decoders import (
    JPEG2000LosslessDecoder,
    JPEGLosslessSV1Decoder,
)


def pixels(path):
    return int(pydicom.dcmread(path).pixel_array.size)


def header(path):
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    return int(dataset.Rows) * int(dataset.Columns)


def main():
    with multiprocessing.Pool(int(sys.argv[1])) as pool:
        plugins = sorted({*JPEGLosslessSV1Decoder.available_plugins, *JPEG2000LosslessDecoder.available_plugins})
        print(json.dumps({"pydicom": pydicom.__version__, "plugins": plugins}), flush=True)
        for line in sys.stdin:
            task = json.loads(line)
            read = pixels if task["pixels"] else header
            paths = task["paths"]
            start = time.perf_counter()
            values = sum(pool.map(read, paths, chunksize=max(1, len(paths) // (4 * int(sys.argv[1])))))
            print(json.dumps({"ms": (time.perf_counter() - start) * 1000, "values": values}), flush=True)


if __name__ == "__main__":
    main()
