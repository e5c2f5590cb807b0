"""Time and memory of reading a NAS-Bench-101 file, on a file of the official size written here with made-up accuracies.

    python -m bench.nasbench101_file --modules 423624

The full file has 423,624 modules, each trained three times for 4, 12, 36 and 108 epochs: 5,083,488 records, 1.95 GB. Here they
are written repeat after repeat, so that the trainings of a module lie far apart. Prints seconds, rows and the peak memory of
the reading process, which includes the compressed Parquet file. Needs the repository as the working directory, and 2.1 GB of
disk.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import random
import resource
import struct
import tempfile
import time
from pathlib import Path
from typing import Annotated

import google_crc32c
import typer

from naswot_ray.benchmarks.nasbench101 import EPOCHS, NUM_REPEATS, read_nasbench101
from naswot_ray.dataset.accuracies import stage
from tests.benchmarks.nasbench101_files import Training, masked, record


def write(path: Path, num_modules: int) -> None:
    """Write a file with all trainings of so many modules."""
    generator = random.Random(0)
    hashes = [hashlib.md5(str(module).encode()).hexdigest() for module in range(num_modules)]
    with path.open("wb") as file:
        for _ in range(NUM_REPEATS):
            for epochs in EPOCHS:
                for module_hash in hashes:
                    training = Training(module_hash, epochs, generator.random(), generator.random(), 2000 * generator.random())
                    data = record(training)
                    length = struct.pack("<Q", len(data))
                    file.write(length + struct.pack("<I", masked(google_crc32c.value(length))))
                    file.write(data + struct.pack("<I", masked(google_crc32c.value(data))))


def measure(path: Path) -> None:
    """Read a file as `join --accuracies` does and print what it took."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    table = read_nasbench101(path)
    read = time.perf_counter()
    staged = stage(table)
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    size, rows = path.stat().st_size / 1e9, staged.num_rows
    print(f"{size:.2f} GB read in {read - start:.1f} s, {rows:,} rows staged in {end - read:.1f} s")
    print(f"peak {peak:.2f} GiB, of which {resident:.2f} GiB before; the Parquet file has {staged.parquet.size / 1e6:.0f} MB")


def main(modules: Annotated[int, typer.Option(help="Modules in the file.")] = 423_624) -> None:
    """Write a file and measure reading it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nasbench.tfrecord"
        write(path, modules)
        reader = multiprocessing.get_context("spawn").Process(target=measure, args=(path,))  # its memory alone
        reader.start()
        reader.join()


if __name__ == "__main__":
    typer.run(main)
