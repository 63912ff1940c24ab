"""Files that are there whole or not at all."""

import os
import secrets


def write_whole(path, content):
    """Write a file beside its place, see it on the disk, and rename it.

    Parameters
    ----------
    path : Path
        A file that is there is replaced.
    content : bytes
    """
    mark = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.with_name(f".{path.name}.{mark}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
