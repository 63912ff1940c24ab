"""Origins: which network and which packages made the rows of a folder.

A key is 40 bytes: 20 that name the network and all settings, and 20 of the row's
content. The table `origins` has a JSON object for the first half, for people and for
`prune`.
"""

import importlib.metadata
import json
import re
from collections import defaultdict
from typing import NamedTuple

PREFIX_BYTES = 20
_HIGHEST = b"\xff" * PREFIX_BYTES


class RowGroup(NamedTuple):
    """Rows that the same versions of packages made.

    Attributes
    ----------
    versions : dict of str to str
        Package -> major and minor version. Empty if nobody knows.
    changed : dict of str to str or None
        Those of which another version is installed, and that one; None for a package
        that is not installed.
    networks : list of str
    prefixes : list of bytes
        First halves of the rows' keys.
    n_rows, n_bytes : int
    """

    versions: dict
    changed: dict
    networks: list
    prefixes: list
    n_rows: int
    n_bytes: int

    @property
    def is_stale(self):
        """Whether its rows are not found any more under the versions installed."""
        # Of a package that is not installed nothing is known.
        return any(self.changed.values())


def encode_origin(origin):
    """Return the JSON text of an origin."""
    return json.dumps(origin, sort_keys=True, default=str).encode()


def note_origins(connection, origins):
    """Write origins by prefix, unless they are there."""
    connection.executemany(
        "INSERT OR IGNORE INTO origins VALUES (?, ?)", list(origins.items())
    )


def row_groups(connection):
    """Return the rows of a folder as a list of `RowGroup`, the largest first."""
    origins = dict(connection.execute("SELECT prefix, origin FROM origins"))
    counts = connection.execute(
        f"SELECT substr(key, 1, {PREFIX_BYTES}), count(*), sum(size) FROM features "
        "GROUP BY 1"
    )
    groups = defaultdict(list)
    for prefix, n_rows, n_bytes in counts:
        versions, network = _read(origins.get(prefix))
        key = tuple(sorted(versions.items()))
        groups[key].append((prefix, n_rows, n_bytes, network))
    found = []
    for key, parts in groups.items():
        prefixes, n_rows, n_bytes, networks = zip(*parts, strict=True)
        names = sorted({name for name in networks if name})
        versions = dict(key)
        found.append(
            RowGroup(
                versions,
                _changed(versions),
                names,
                list(prefixes),
                sum(n_rows),
                sum(n_bytes),
            )
        )
    return sorted(found, key=lambda group: (not group.versions, -group.n_bytes))


def delete_rows(connection, prefixes):
    """Delete the rows whose keys begin with one of these."""
    connection.executemany(
        "DELETE FROM features WHERE key BETWEEN ? AND ?", map(_range, prefixes)
    )


def delete_unused(connection):
    """Delete the origins of which no row is left."""
    query = "SELECT 1 FROM features WHERE key BETWEEN ? AND ? LIMIT 1"
    for (prefix,) in connection.execute("SELECT prefix FROM origins").fetchall():
        if connection.execute(query, _range(prefix)).fetchone() is None:
            connection.execute("DELETE FROM origins WHERE prefix = ?", (prefix,))


def _range(prefix):
    return prefix, prefix + _HIGHEST


def _read(origin):
    """Return versions by package, and the network's name; a damaged origin has none."""
    try:
        origin = json.loads(origin)
        versions = origin["versions"].items()
        return {_plain(name): _plain(version) for name, version in versions}, _plain(
            origin.get("network", "")
        )
    except (TypeError, ValueError, KeyError, AttributeError):
        return {}, ""


def _plain(value):
    """Return a string without what could steer a terminal; others may write here."""
    return "".join(c if c.isprintable() else "?" for c in str(value))


def _changed(versions):
    changed: dict[str, str | None] = {}
    for name, version in versions.items():
        installed = _installed(name)
        if installed is None:
            changed[name] = None
        elif _minor(installed) != _minor(version):
            changed[name] = ".".join(map(str, _minor(installed)))
    return changed


def _installed(name):
    try:
        return importlib.metadata.version(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None


def _minor(version):
    """Return major and minor number."""
    numbers = [int(digits) for digits in re.findall(r"\d{1,9}", version)[:2]]
    return tuple(numbers + [0] * (2 - len(numbers)))
