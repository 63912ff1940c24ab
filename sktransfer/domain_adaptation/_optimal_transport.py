"""Optimal transport of the source onto the target, by POT."""

from numbers import Real

import numpy as np
from sklearn.base import OneToOneFeatureMixin

from .._optional import import_optional
from .._validation import Interval
from ._base import BaseAdapter


class OptimalTransport(OneToOneFeatureMixin, BaseAdapter):
    """Move each source row to the mean of the target rows that it is transported to.

    Target rows stay as they are. Needs POT: ``pip install "sktransfer[ot]"``.

    Parameters
    ----------
    reg : float, default=0.1
        Entropic regularisation, of costs whose greatest is 1; 0 transports exactly.
    reg_class : float, default=0.0
        Penalty on target rows that get mass from several classes; needs `y` at fit, and
        `reg` above 0.

    Attributes
    ----------
    transport_ : ot.da.BaseTransport
    n_features_in_ : int

    References
    ----------
    Courty et al. (2017), `Optimal Transport for Domain Adaptation
    <https://arxiv.org/abs/1507.00504>`_.
    """

    _parameter_constraints = {
        "reg": [Interval(Real, 0, None, closed="left")],
        "reg_class": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, reg=0.1, reg_class=0.0):
        self.reg = reg
        self.reg_class = reg_class

    def _learn(self, X, y, domain):
        ot = import_optional("ot", extra="ot", purpose=type(self).__name__)
        codes = None
        if self.reg_class > 0:
            if y is None or self.reg == 0:
                raise ValueError(
                    f"OptimalTransport got reg_class={self.reg_class} with "
                    f"{'no y' if y is None else 'reg=0'}; it needs the labels of the "
                    "source rows and reg above 0. Give both, or set reg_class=0."
                )
            codes = np.unique(y, return_inverse=True)[1]
            transport = ot.da.SinkhornLpl1Transport(
                reg_e=self.reg,
                reg_cl=self.reg_class,
                norm="max",
                max_inner_iter=5000,
                tol=1e-6,
            )
        elif self.reg > 0:
            transport = ot.da.SinkhornTransport(
                reg_e=self.reg, norm="max", method="sinkhorn_log"
            )
        else:
            transport = ot.da.EMDTransport(norm="max", max_iter=1_000_000)
        source, target = X[domain >= 0], X[domain < 0]
        self.transport_ = transport.fit(Xs=source.copy(), ys=codes, Xt=target.copy())

    def _map(self, X, domain):
        mapped, rows = X.copy(), domain >= 0
        if rows.any():
            mapped[rows] = self.transport_.transform(Xs=X[rows])
        return mapped
