"""How a whole file gets into an object store in one step.

An object appears when its upload is complete, and closing pyarrow's stream completes it, whatever happened before. So the bytes
are there before the stream is opened, and go into it at once: there is no state in which half of them could be committed.
"""

from __future__ import annotations

import pyarrow as pa
from pyarrow import fs


def write_whole(filesystem: fs.FileSystem, path: str, data: bytes | pa.Buffer) -> None:
    """Put a file, replacing what is there.

    Raises:
        OSError: nothing was put, or all of it although the answer was lost.
    """
    stream = filesystem.open_output_stream(path, compression=None)
    stream.write(data)
    stream.close()


def remove(filesystem: fs.FileSystem, path: str) -> None:
    """Remove a file that need not be there."""
    try:
        filesystem.delete_file(path)
    except FileNotFoundError:
        return
