"""The files of a folder, and what to say of those that are no rows."""

import os
from collections import Counter
from pathlib import Path


def files_in(folder):
    """Return the files of a folder and its subfolders, without hidden ones.

    Links to folders are followed; what was seen under one name is not read again under
    another, so that a link to a folder above ends.

    Raises
    ------
    OSError
        If a folder cannot be read.
    """

    def stop(err):
        raise err

    found: list[Path] = []
    seen: set[str] = set()
    for base, folders, names in os.walk(folder, followlinks=True, onerror=stop):
        real = os.path.realpath(base)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(base) / name for name in names if not name.startswith(".")]
    return sorted(found)


def by_suffix(files, taken):
    """Count the files that are not taken, the most frequent suffix first."""
    taken = set(taken)
    left = Counter(path.suffix.lower() for path in files if path not in taken)
    return dict(left.most_common())


def say_left_out(left_out):
    """Say what was left out, or return an empty text."""
    if not left_out:
        return ""
    n_files = sum(left_out.values())
    kinds = [f"{n:,} {suffix or 'without a suffix'}" for suffix, n in left_out.items()]
    more = f", and {len(kinds) - 6} other kinds" if len(kinds) > 6 else ""
    what = "1 file was" if n_files == 1 else f"{n_files:,} files were"
    return f"{what} left out: {', '.join(kinds[:6])}{more}"
