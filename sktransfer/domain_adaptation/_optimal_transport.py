"""Optimal transport of the source onto the target, by POT."""

from __future__ import annotations

from numbers import Real

from sklearn.base import OneToOneFeatureMixin

from .._utils.names import set_module
from .._utils.optional import import_optional
from .._utils.validation import Interval
from ._base import BaseAdapter


@set_module("sktransfer")
class OptimalTransport(OneToOneFeatureMixin, BaseAdapter):
    """Move each source row to the mean of the target rows that it is transported to.

    Target rows do not change. Needs POT: ``pip install "sktransfer[ot]"``.

    Parameters
    ----------
    reg : float, default=0.1
        Entropic regularisation, relative to the greatest transport cost. 0 transports
        exactly.

    Attributes
    ----------
    transport_ : ot.da.BaseTransport
        Fitted transport of POT.
    n_features_in_ : int

    References
    ----------
    Courty et al. (2017), `Optimal Transport for Domain Adaptation
    <https://arxiv.org/abs/1507.00504>`_.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import OptimalTransport
    >>> X = np.array([[0.0], [1.0], [10.0], [11.0]])
    >>> adapter = OptimalTransport(reg=0)
    >>> adapter.fit_transform(X, sample_domain=[0, 0, -1, -1]).ravel()
    array([10., 11., 10., 11.])
    """

    _parameter_constraints = {
        "reg": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, reg: float = 0.1) -> None:
        self.reg = reg

    def _learn(self, X, y, domain):
        ot = import_optional("ot", extra="ot", purpose=type(self).__name__)
        if self.reg > 0:
            transport = ot.da.SinkhornTransport(
                reg_e=self.reg, norm="max", method="sinkhorn_log"
            )
        else:
            transport = ot.da.EMDTransport(norm="max", max_iter=1_000_000)
        source, target = X[domain >= 0], X[domain < 0]
        self.transport_ = transport.fit(Xs=source.copy(), Xt=target.copy())

    def _map(self, X, domain):
        mapped, rows = X.copy(), domain >= 0
        if rows.any():
            mapped[rows] = self.transport_.transform(Xs=X[rows])
        return mapped
