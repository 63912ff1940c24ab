"""Data sets that come in packages from PyPI, as data frames."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from ._utils.names import set_module
from ._utils.optional import import_optional
from .exceptions import MissingDependencyError

if TYPE_CHECKING:
    import pandas

__all__ = ["load_elpv"]

ELPV_PACKAGE = "elpv_dataset"


@set_module("sktransfer.datasets")
def load_elpv() -> pandas.DataFrame:
    """Electroluminescence photos of solar cells, and how likely each is defective.

    2,624 grey images of 300 x 300 pixels from 44 photovoltaic modules [1]_ [2]_. An
    expert graded each cell: probability 0, 1/3, 2/3 or 1 of a defect. The images
    are in the package ``elpv-dataset``, so nothing is downloaded.

    Returns
    -------
    DataFrame of shape (2624, 3)
        ``photo`` is the path of a PNG file (str), ``type`` the kind of cell, "mono" or
        "poly" (str), and ``probability`` that of a defect, from 0 to 1 (float).

    Raises
    ------
    MissingDependencyError
        If ``elpv-dataset`` or pandas is not installed.

    Notes
    -----
    The images and labels are under CC BY-NC-SA 4.0: not for commercial use, with
    attribution, and shared alike.

    References
    ----------
    .. [1] S. Deitsch et al., "Automatic classification of defective photovoltaic module
       cells in electroluminescence images", Solar Energy 185, 2019, pp. 455-468,
       https://doi.org/10.1016/j.solener.2019.02.067
    .. [2] C. Buerhop-Lutz et al., "A Benchmark for Visual Identification of Defective
       Solar Cells in Electroluminescence Imagery", EU PVSEC 2018,
       https://doi.org/10.4229/35thEUPVSEC20182018-5CV.3.15

    Examples
    --------
    >>> from sktransfer.datasets import load_elpv
    >>> cells = load_elpv()
    >>> cells.shape
    (2624, 3)
    >>> cells["type"].value_counts().to_dict()
    {'poly': 1550, 'mono': 1074}
    """
    pandas = import_optional("pandas", extra="demo", purpose="load_elpv")
    data = _package_folder(ELPV_PACKAGE) / "data"
    frame = pandas.read_csv(
        data / "labels.csv",
        sep=r"\s+",
        header=None,
        names=["photo", "probability", "type"],
        dtype={"photo": str, "probability": float, "type": str},
    )
    frame["photo"] = [str(data / path) for path in frame["photo"]]
    return frame[["photo", "type", "probability"]]


def _package_folder(package):
    """Find an installed package's folder; importing this one reads every image."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(
            f"load_elpv needs the package {package!r}, which is not installed; "
            'run: pip install "sktransfer[demo]"'
        )
    return Path(spec.submodule_search_locations[0])
