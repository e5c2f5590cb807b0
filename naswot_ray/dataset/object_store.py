"""Files in an object store: each is written in one step.

An object appears when its upload is complete, and closing pyarrow's stream completes the upload even after an error. So all the
bytes are ready before the stream is opened, and they are written to it at once. Half a file can never be committed.
"""

from __future__ import annotations

import pyarrow as pa
from pyarrow import fs


def write_whole(filesystem: fs.FileSystem, path: str, data: bytes | pa.Buffer) -> None:
    """Upload a file, replacing an earlier one.

    Raises:
        OSError: nothing was uploaded, or the whole file was but the store's answer was lost.
    """
    stream = filesystem.open_output_stream(path, compression=None)
    stream.write(data)
    stream.close()


def remove(filesystem: fs.FileSystem, path: str) -> None:
    """Remove a file if it exists."""
    try:
        filesystem.delete_file(path)
    except FileNotFoundError:
        return
