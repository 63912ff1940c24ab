"""Parts of a bulk job on the workers of a Dask cluster."""

import contextlib
import os

from .._cells.parts import is_list
from .._utils.optional import import_optional
from ..backbones import Backbone, load_backbone
from ..exceptions import BulkError, WeightsMismatchError
from ._job_cache import forget_job
from ._parts import NOT_THERE, compute

AHEAD = 2  # parts that wait for a worker, for each thread of the cluster


@contextlib.contextmanager
def connected(scheduler):
    """Give the client of a scheduler: one's own, or a new one for its address.

    Raises
    ------
    BulkError
        If nobody answers there.
    """
    distributed = import_optional(
        "distributed", extra="dask", purpose="sktransfer.bulk.encode(scheduler=...)"
    )
    if isinstance(scheduler, distributed.Client):
        yield scheduler
        return
    if not isinstance(scheduler, str):
        raise TypeError(
            f"scheduler={scheduler!r} must be an address such as 'tcp://host:8786', or "
            "a distributed.Client."
        )
    try:
        client = distributed.Client(scheduler, set_as_default=False)
    except (OSError, ValueError) as err:
        raise BulkError(
            f"No Dask scheduler answers at {scheduler!r} ({err}). Start one with: "
            "dask scheduler"
        ) from err
    with client:
        yield client


def check_travels(backbone):
    """Refuse a network that has no name to be loaded by on the workers.

    Raises
    ------
    BulkError
        If it is an object with weights.
    """
    if isinstance(backbone, Backbone):
        raise BulkError(
            f"backbone={backbone!r} would send its weights with every part. On a "
            "cluster, pass a name or a folder that every worker can load."
        )


def on_cluster(client, encoder, missing, chunks):
    """Yield ``(number, chunk, *computed)`` for each part, as parts are finished.

    The encoder travels as its parameters: each worker loads the network by name, once,
    and compares its cache identity. A few parts for each thread are under way at once.

    Parameters
    ----------
    client : distributed.Client
    encoder : BaseEncoder
    missing : {"empty", "reject"}
    chunks : iterable of (int, Chunk)

    Raises
    ------
    BulkError
        If a part has ended several workers, or they do not see the files.
    WeightsMismatchError
        If a worker has another network under the name.
    """
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    network = load_backbone(encoder.backbone, modality=encoder._modality)
    identity = network.cache_identity
    chunks, waiting = iter(chunks), {}
    done = as_completed(loop=client.loop)

    def submit():
        for number, chunk in chunks:
            future = client.submit(
                _on_worker, encoder, identity, chunk.cells, missing, pure=False
            )
            waiting[future.key] = number, chunk, future
            done.add(future)
            return

    try:
        for _ in range(AHEAD * max(1, sum(client.nthreads().values()))):
            submit()
        for future in done:
            number, chunk, _ = waiting.pop(future.key)
            try:
                vectors, bad, n_cut = future.result()
            except KilledWorker as err:
                raise BulkError(
                    f"Part {number} has ended several workers, the last at "
                    f"{err.last_worker.address}. Usually their memory is too small: "
                    "use fewer rows_per_part. Finished parts are kept."
                ) from err
            _check_seen(chunk.cells, bad)
            yield number, chunk, vectors, bad, n_cut
            submit()
        # A worker that cannot be reached has none left to let go.
        client.run(forget_job, on_error="ignore")
    finally:
        # After an error or an interrupt nobody wants the rest.
        client.cancel([future for *_, future in waiting.values()])


def _check_seen(cells, bad):
    """Refuse to go on where workers miss files that are here."""
    for row, reason in bad.items():
        if not reason.startswith(NOT_THERE):
            continue
        parts = cells[row] if is_list(cells[row]) else [cells[row]]
        paths = [part["path"] if isinstance(part, dict) else part for part in parts]
        paths = [path for path in paths if isinstance(path, (str, os.PathLike))]
        if all(map(os.path.exists, paths)):
            names = " or ".join(map(str, paths))
            raise BulkError(
                f"The workers do not see {names}, which is here. Put the files where "
                "every worker finds them under the same path."
            )


def _on_worker(encoder, identity, cells, missing):
    """Compute a part."""
    network = load_backbone(encoder.backbone, modality=encoder._modality)
    if network.cache_identity != identity:
        raise WeightsMismatchError(
            f"A worker has another network under the name {network.name!r}: its cache "
            f"identity is {network.cache_identity[:12]}, expected {identity[:12]}. "
            "Install the same weights, configuration and code on every machine."
        )
    return compute(encoder, cells, missing)
