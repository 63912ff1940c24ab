"""What the four fine-tuning estimators share: fit, predict, and the frozen prefix."""

import contextlib
import dataclasses
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._allocator import kept_pages
from .._column_estimator import ColumnEstimator
from .._pooling import POOLINGS
from .._runners import Request
from .._torch import PRECISIONS, resolve_device, seeded, turn
from .._validation import Interval, StrOptions
from ..backbones import State, load_backbone
from ..cache import resolve_cache
from ._fit_rows import FitRows
from ._prefix import Prefix
from ._rows import Forward

POLICIES = {"raise", "prior"}
PREDICT_BATCH = 32
MAX_SEED = 2**31 - 1
FRACTION = Interval(Real, 0, 1, closed="neither")
POSITIVE = Interval(Real, 0, None, closed="neither")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
COUNT = Interval(Integral, 1, None, closed="left")


class _Plan(NamedTuple):
    """What is trained on what.

    Attributes
    ----------
    request : Request
    target : ClassTarget or NumberTarget
    views : list of sequence of ndarray
        As `RowsDataset` takes them.
    encoded, weight : ndarray
        Of all rows.
    train_rows, valid_rows : ndarray of int
        `valid_rows` may be None.
    seed : int
    is_resumed : bool
        Go on from `net_`.
    max_epochs : int
    is_partial : bool
        One call of many, at a constant learning rate.
    """

    request: object
    target: object
    views: list
    encoded: np.ndarray
    weight: np.ndarray
    train_rows: np.ndarray
    valid_rows: np.ndarray | None
    seed: int
    is_resumed: bool
    max_epochs: int
    is_partial: bool


class BaseFineTuner(FitRows, ColumnEstimator):
    """Trains the last blocks of a network and a head; the others run once a row.

    A subclass inherits `ImageColumn` or `TextColumn`, and gives `_learn_target`.
    """

    _parameter_constraints = {
        "backbone": "no_validation",  # load_backbone says more
        "freeze_depth": "no_validation",  # so does Backbone.resolve_depth
        "pooling": [StrOptions(set(POOLINGS))],
        "head": [StrOptions({"linear", "mlp", "cosine"})],
        "head_init": [StrOptions({"auto", "probe", "random"})],
        "probe_C": [POSITIVE],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "lr": [POSITIVE],
        "backbone_lr_scale": [NOT_NEGATIVE],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "weight_decay": [NOT_NEGATIVE],
        "lr_schedule": [StrOptions({"constant", "cosine", "one-cycle"})],
        "gradient_clip_value": [POSITIVE, None],
        "batch_norm": [StrOptions({"frozen", "eval", "train"})],
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [COUNT],
        "early_stopping": ["boolean"],
        "validation_fraction": [FRACTION],
        "n_iter_no_change": [COUNT],
        "activation_dtype": [StrOptions({"float32", "float16"})],
        "cache": "no_validation",  # resolve_cache says more
        "callbacks": [list, None],
        "net_params": [dict, None],
        "warm_start": ["boolean"],
        "device": "no_validation",  # resolve_device says more
        "precision": [StrOptions(set(PRECISIONS))],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    # A fit without sample_domain has source rows only, so passing it is always right.
    __metadata_request__fit = {"sample_domain": True}

    # -- what a subclass changes -------------------------------------------------------

    augment = augment_views = None
    class_weight = None
    label_smoothing = 0.0

    def _learn_target(self, y, weight):
        raise NotImplementedError

    # -- fitting -----------------------------------------------------------------------

    def fit(self, X, y, *, sample_weight=None, sample_domain=None, groups=None):
        """Train the blocks behind the cut, and the head.

        Parameters
        ----------
        X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the loss.
        sample_domain : array-like of shape (n_samples,), default=None
            Negative for rows of the target domain, whose `y` is never read: they take
            no part in the loss.
        groups : array-like of shape (n_samples,), default=None
            Rows of a group stay together when `early_stopping` sets rows aside.

        Returns
        -------
        self
        """
        self._validate_params()
        is_resumed = self.warm_start and hasattr(self, "net_")
        return self._fit(
            X,
            y,
            None,
            sample_weight,
            sample_domain,
            groups,
            is_resumed=is_resumed,
            max_epochs=self.max_epochs,
        )

    def _partial_fit(self, X, y, classes, sample_weight):
        self._validate_params()
        return self._fit(
            X,
            y,
            classes,
            sample_weight,
            None,
            None,
            is_resumed=hasattr(self, "net_"),
            max_epochs=1,
            is_partial=True,
        )

    def _fit(
        self,
        X,
        y,
        classes,
        sample_weight,
        sample_domain,
        groups,
        *,
        is_resumed,
        max_epochs,
        is_partial=False,
    ):
        column = self._column(X)
        n_rows = len(column.cells)
        y = self._checked(y, n_rows, "y")
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None."
            )
        weight = np.ones(n_rows) if sample_weight is None else sample_weight
        weight = np.array(self._checked(weight, n_rows, "sample_weight"), np.float64)
        if weight.ndim != 1 or not np.isfinite(weight).all() or (weight < 0).any():
            raise ValueError(
                f"{type(self).__name__}: sample_weight must be one finite number >= 0 "
                f"a row; got an array of shape {weight.shape}."
            )
        groups = self._checked(groups, n_rows, "groups")
        is_used = weight > 0
        if sample_domain is not None:
            domain = np.asarray(self._checked(sample_domain, n_rows, "sample_domain"))
            is_used &= domain >= 0
        request = self._request()
        random_state = check_random_state(self.random_state)
        seed = int(random_state.randint(MAX_SEED))
        used = np.flatnonzero(is_used)
        if len(used) == 0:
            raise ValueError(
                f"{type(self).__name__}: no row is left to train on: every one has a "
                "sample_weight of zero or a negative sample_domain."
            )
        y = self._labelled(y, used)
        if not is_resumed:
            target = self._learn_target(y if classes is None else classes, weight[used])
        else:
            target = self._target
            if request.backbone.fingerprint != self._fingerprint:
                raise ValueError(
                    f"{type(self).__name__} cannot go on training: backbone is another "
                    "one than that of the first fit. Use warm_start=False."
                )
            depth = _frozen_name(request)
            if depth != self.freeze_depth_:
                raise ValueError(
                    f"{type(self).__name__} cannot go on training: freeze_depth="
                    f"{self.freeze_depth!r} freezes up to {depth!r}, and the first fit "
                    f"up to {self.freeze_depth_!r}. Use warm_start=False."
                )
        known = target.encode(y)
        encoded = np.zeros((n_rows, *known.shape[1:]), known.dtype)
        encoded[used] = known
        weight[used] *= target.weights(y, self.class_weight)
        views, bad = self._views(column, request, seed)
        used = self._without(used, bad, column)
        weight /= weight[used].mean()
        train_rows, valid_rows = self._split(used, encoded, groups, seed, is_partial)
        pages = kept_pages if request.device.type == "cpu" else contextlib.nullcontext
        with turn(request.device), seeded(seed), pages():
            self._train(
                _Plan(
                    request=request,
                    target=target,
                    views=views,
                    encoded=encoded,
                    weight=weight,
                    train_rows=train_rows,
                    valid_rows=valid_rows,
                    seed=seed,
                    is_resumed=is_resumed,
                    max_epochs=max_epochs,
                    is_partial=is_partial,
                )
            )
        self._set_fitted(column, request, target, encoded[used], weight[used])
        return self

    def _train(self, plan):
        """Train on rows whose activations are there."""
        from ._augment import make_augment
        from ._net import Loss, RowsDataset, make_net, train
        from ._optim import parameter_groups

        request = plan.request
        module = self._module(request, plan.target)
        if plan.is_resumed:
            module.load_state_dict(self.net_.module_.state_dict())
        if self._is_on_the_fly() or request.depth == 0:
            module.prefix = Prefix(request)
        module.to(request.device)
        augment = None
        if self._is_on_the_fly():
            augment = make_augment(self.augment, request.preprocess.size)
        dataset, valid = (
            None
            if rows is None
            else RowsDataset(
                request.backbone,
                part,
                plan.encoded,
                plan.weight,
                rows,
                seed=plan.seed,
                augment=change,
            )
            for rows, part, change in (
                (plan.train_rows, plan.views, augment),
                (plan.valid_rows, plan.views[:1], None),
            )
        )
        if not plan.is_resumed and self._head_init() == "probe":
            self._start_from_probe(module, request, plan.target, dataset)
        groups = parameter_groups(
            module,
            lr=self.lr,
            backbone_lr_scale=self.backbone_lr_scale,
            layer_decay=self.layer_decay,
            weight_decay=self.weight_decay,
        )
        net = make_net(
            module,
            Loss(plan.target.task, self.label_smoothing),
            groups,
            dataset,
            valid,
            max_epochs=plan.max_epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            lr_schedule="constant" if plan.is_partial else self.lr_schedule,
            gradient_clip_value=self.gradient_clip_value,
            n_iter_no_change=self.n_iter_no_change,
            device=request.device,
            precision=self.precision,
            callbacks=self.callbacks,
            net_params=self.net_params,
            verbose=self.verbose,
        )
        n_epochs = train(net, dataset, plan.max_epochs, type(self).__name__)
        module.prefix = None
        module.eval()
        self.net_ = net
        self.n_epochs_ = n_epochs + (self.n_epochs_ if plan.is_resumed else 0)
        self.history_ = list(net.history)

    def _module(self, request, target):
        """Return the trained part, with the weights of the backbone and a new head."""
        from ._heads import make_head
        from ._module import Trained

        backbone, k = request.backbone, request.depth
        blocks = list(backbone.blocks.values())[k:]
        return Trained(
            blocks,
            backbone.post_pool if blocks else None,
            make_head(self.head, backbone.widths[-1], target.n_outputs, self.dropout),
            pooling=request.pooling,
            n_prefix_tokens=backbone.n_prefix_tokens,
            batch_norm=self.batch_norm,
        )

    def _start_from_probe(self, module, request, target, dataset):
        import torch

        from ._heads import start_from_probe
        from ._net import inputs_of

        module.eval()
        features, rows = [], dataset.indices
        with torch.inference_mode():
            for start in range(0, len(rows), PREDICT_BATCH):
                part = rows[start : start + PREDICT_BATCH]
                arrays = [dataset.views[0][row] for row in part]
                inputs = inputs_of(request.backbone, arrays)
                inputs = {k: v.to(request.device) for k, v in inputs.items()}
                features.append(module.features(**inputs).float().cpu().numpy())
        start_from_probe(
            module.head,
            np.concatenate(features).astype(np.float64),
            dataset.targets.numpy()[rows],
            dataset.weights.numpy()[rows],
            task=target.task,
            C=self.probe_C,
        )

    def _head_init(self):
        if self.head_init == "probe" and self.head != "linear":
            raise ValueError(
                f"head_init='probe' starts from a linear model, and head={self.head!r} "
                "is none; use head_init='auto'."
            )
        if self.head_init == "auto":
            return "probe" if self.head == "linear" else "random"
        return self.head_init

    # -- rows --------------------------------------------------------------------------

    def _request(self):
        self._head_init()
        resolve_cache(self.cache)
        backbone = load_backbone(self.backbone, modality=self._modality)
        return Request(
            backbone=backbone,
            preprocess=self._adapt(backbone),
            depth=backbone.resolve_depth(
                self.freeze_depth, parameter="freeze_depth", minimum=0
            ),
            pooling=backbone.resolve_pooling(self.pooling),
            batch_size="auto",
            device=resolve_device(self.device),
            precision=self.precision,
        )

    def _set_fitted(self, column, request, target, encoded, weight):
        self.n_features_in_ = 1
        self._target = target
        self._fingerprint = request.backbone.fingerprint
        self._tuned = None
        self._prior = target.prior(encoded, weight)
        self.freeze_depth_ = _frozen_name(request)

    # -- predicting --------------------------------------------------------------------

    def _outputs(self, X):
        """Return the outputs of the head, a row each; the prior for bad rows."""
        import torch

        check_is_fitted(self, "net_")
        self._validate_params()
        column = self._column(X)
        request = self._fitted_request()
        module = self.net_.module_
        backbone = request.backbone
        from ._net import arguments_of, inputs_of

        def run(arrays):
            inputs = inputs_of(backbone, arrays)
            if request.depth == 0:
                state = State(**inputs).to(request.device)
                inputs = arguments_of(request.preprocess.to_input(state))
            with turn(request.device), torch.inference_mode():
                module.eval()
                return self.net_.infer(inputs).float().cpu().numpy()

        outputs, rows, _, _ = self._run(
            column,
            self._runner(request),
            lambda n: Forward(run, n, PREDICT_BATCH),
        )
        table = np.tile(self._prior, (len(column.cells), 1))
        for row, output in zip(rows, outputs.finish(), strict=True):
            if output is not None:
                table[row] = output
        return table

    def _fitted_request(self):
        request = self._request()
        backbone = request.backbone
        k = backbone.resolve_depth(
            self.freeze_depth_ or 0, parameter="freeze_depth_", minimum=0
        )
        if backbone.fingerprint != self._fingerprint:
            raise ValueError(
                f"{type(self).__name__} was fitted on another network than "
                f"{backbone.name!r} is now; its weights or the parameter backbone have "
                "changed. Fit again."
            )
        return request._replace(depth=k)

    @property
    def backbone_(self):
        """The tuned network as a `Backbone`, for encoders; made when first asked for.

        Making it in `fit` would cost each fit of a grid a copy and a hash.
        """
        check_is_fitted(self, "net_")
        if self._tuned is None:
            self._tuned = self._tuned_backbone()
        return self._tuned

    def _tuned_backbone(self):
        import copy

        request = self._fitted_request()
        backbone, k = request.backbone, request.depth
        if k == len(backbone.blocks):
            return backbone
        module = self.net_.module_
        trained, post_pool = copy.deepcopy((list(module.blocks), module.post_pool))
        names = backbone.block_names
        blocks = dict(
            zip(names, [*backbone.blocks.values()][:k] + trained, strict=True)
        )
        return dataclasses.replace(
            backbone,
            name=f"{backbone.name} (tuned)",
            blocks=blocks,
            post_pool=None if post_pool is None else post_pool.cpu(),
            fingerprint=None,
        )

    def __getstate__(self):
        """Leave out the tuned backbone, which can be made again."""
        state = super().__getstate__()
        return state | {"_tuned": None} if "_tuned" in state else state

    def __sklearn_tags__(self):
        """Describe the estimator to scikit-learn."""
        tags = super().__sklearn_tags__()
        tags.non_deterministic = self.random_state is None
        tags.target_tags.required = True
        return tags


def _frozen_name(request):
    """Name of the last frozen block; empty if nothing is frozen."""
    k = request.depth
    return request.backbone.block_names[k - 1] if k else ""
