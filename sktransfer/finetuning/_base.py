"""What the four fine-tuning estimators share: fit, predict, and the frozen prefix."""

from __future__ import annotations

import contextlib
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._extraction.estimator import ColumnEstimator
from .._extraction.runners import Request
from .._utils.allocator import kept_pages
from .._utils.choices import Choices
from .._utils.devices import PRECISIONS, resolve_device, seeded
from .._utils.labels import check_groups, label_names
from .._utils.turns import turn
from .._utils.types import ArrayLike, Cells
from .._utils.validation import Interval, StrOptions, draw_seed, plain, shorten
from ..backbones import Backbone, State, load_backbone
from ..backbones._pooling import POOLING_CHOICES
from ..cache._default import resolve_cache
from ._activations import Forward
from ._domain_losses import LOSSES
from ._fit_rows import FitRows
from ._heads import HEADS, starts_at
from ._passes import PREDICT_BATCH
from ._settings import AUTO, Case, Settings, auto_freeze_depth, settle
from ._training import Plan, Training

if TYPE_CHECKING:
    from sklearn.utils import Tags

POLICIES = {"raise", "prior"}
FRACTION = Interval(Real, 0, 1, closed="neither")
POSITIVE = Interval(Real, 0, None, closed="neither")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
COUNT = Interval(Integral, 1, None, closed="left")
AUTOMATIC = StrOptions({AUTO})


class BaseFineTuner(Training, FitRows, ColumnEstimator):
    """Trains the last blocks of a network and a head; the others run once a row.

    A subclass inherits `ImageColumn` or `TextColumn`, and gives `_learn_codec`.
    """

    _parameter_constraints = {
        "backbone": "no_validation",  # load_backbone says more
        "freeze_depth": "no_validation",  # so does Backbone.resolve_depth
        "pooling": [StrOptions(POOLING_CHOICES)],
        "head": [StrOptions(Choices(HEADS, lambda head: not head.needs_classes))],
        "head_init": [StrOptions({"auto", "probe", "random"})],
        "probe_C": [POSITIVE, AUTOMATIC],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "lr": [POSITIVE, AUTOMATIC],
        "backbone_lr_scale": [NOT_NEGATIVE, AUTOMATIC],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "weight_decay": [NOT_NEGATIVE],
        "lr_schedule": [StrOptions({"constant", "cosine", "one-cycle"})],
        "gradient_clip_value": [POSITIVE, None],
        "batch_norm": [StrOptions({"frozen", "eval", "train", "target"})],
        "domain_loss": [
            StrOptions(Choices(LOSSES, lambda loss: not loss.needs_classes)),
            None,
        ],
        "domain_loss_weight": [NOT_NEGATIVE],
        "max_epochs": [Interval(Integral, 0, None, closed="left"), AUTOMATIC],
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
    __metadata_request__partial_fit = {"sample_domain": True}

    # -- what a subclass changes -------------------------------------------------------

    augment: Any = None
    augment_views: int | None = None
    class_weight: Any = None
    label_smoothing: Any = 0.0
    objective: Any = "log_loss"
    average: bool = False

    def _learn_codec(self, y, weight):
        raise NotImplementedError

    # -- fitting -----------------------------------------------------------------------

    def fit(
        self,
        X: Cells,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Train the blocks behind the cut, and the head.

        Parameters
        ----------
        X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the loss. A weight of 0 leaves a row out; those of
            target rows are not used otherwise.
        sample_domain : array-like of shape (n_samples,), default=None
            Source rows have a number >= 0. Target rows have one < 0, and their `y` is
            never read: they are left out, or take part as `domain_loss` and
            ``batch_norm="target"`` say.
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
        )

    def _partial_fit(self, X, y, classes, sample_weight, sample_domain):
        self._validate_params()
        return self._fit(
            X,
            y,
            classes,
            sample_weight,
            sample_domain,
            None,
            is_resumed=hasattr(self, "net_"),
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
        is_partial=False,
    ):
        column = self._column(X)
        n_rows = len(column.cells)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None."
            )
        # First everything that can be refused without looking at a cell.
        weight = self._row_weights(sample_weight, n_rows)
        groups = check_groups(groups, n_rows, type(self).__name__)
        used, target_rows = self._rows_by_domain(weight, sample_domain)
        request = self._resolved()
        seed = draw_seed(self.random_state)
        names = label_names(y)
        y = self._labelled(y, used, n_rows)
        if is_resumed:
            codec = self._codec_to_go_on_with(request)
        else:
            codec = self._learn_codec(y if classes is None else classes, weight[used])
            if names is not None and codec.task == "labels":
                codec.classes = names
        asked = {name: getattr(self, name) for name in Settings._fields}
        if is_partial:  # a call is an epoch
            asked["max_epochs"] = 1
        case = Case(
            self._modality,
            codec.task,
            n_rows=len(used),
            n_trained=len(request.backbone.blocks) - request.depth,
            start=starts_at(self.head, self.head_init),
            is_contrastive=self.objective == "contrastive",
        )
        settings = settle(asked, case)
        self._check_domains(request, codec)
        self._check_objective(request, codec, settings, is_partial)
        # Arrays below have an entry for every row of X, so that row numbers mean the
        # same from here to the loader; entries of rows that take no part are never
        # read.
        known = codec.encode(y)
        encoded = np.zeros((n_rows, *known.shape[1:]), known.dtype)
        encoded[used] = known
        weight[used] *= codec.weights(y, self.class_weight)
        # Rows of weight 0 and, without a domain loss, target rows do not run at all.
        only = used if target_rows is None else np.union1d(used, target_rows)
        views, bad = self._views(column, request, only)
        used = self._without(used, bad, column)
        if target_rows is not None:
            target_rows = self._without(target_rows, bad, column, "target rows")
        if not is_resumed and classes is None:
            self._check_classes_left(codec, encoded, used, "can be read")
        # A mean of 1 over the rows that are left: the weights' scale would else be one
        # of the learning rate.
        weight /= weight[used].mean()
        train_rows, valid_rows = self._split(
            used, encoded, codec, groups, seed, is_partial
        )
        if not is_resumed and not is_partial:
            self._check_classes_left(
                codec, encoded, train_rows, "is left to train on beside those set aside"
            )
        # Seeded inside the turn, as torch's generator is one for all threads.
        pages = kept_pages if request.device.type == "cpu" else contextlib.nullcontext
        with turn(request.device), seeded(seed, request.device), pages():
            self._train(
                Plan(
                    request=request,
                    settings=settings,
                    frozen_C=settle(asked, case._replace(n_trained=0)).probe_C,
                    codec=codec,
                    views=views,
                    encoded=encoded,
                    weight=weight,
                    train_rows=train_rows,
                    valid_rows=valid_rows,
                    target_rows=target_rows,
                    seed=seed,
                    is_resumed=is_resumed,
                    is_partial=is_partial,
                )
            )
        # The prior of `missing="prior"` is that of all calls of partial_fit together.
        if not (is_partial and is_resumed):
            self._seen = 0.0, 0
        self._set_fitted(column, request, codec, encoded[used], weight[used])
        self.settings_ = {
            "freeze_depth": self.freeze_depth_,
            "trained_share": self.net_.module_.share_of(request.backbone),
            **settings._asdict(),
        }
        return self

    def _check_classes_left(self, codec, encoded, rows, what):
        """Refuse a class that nothing would be learned of."""
        if codec.task != "classes":
            return
        counts = np.bincount(encoded[rows], minlength=codec.n_outputs)
        lost = [plain(label) for label in codec.classes[counts == 0]]
        if lost:
            raise ValueError(
                f"{type(self).__name__}: no row of the class"
                f"{'es' if len(lost) > 1 else ''} {shorten(lost)} {what}, of which "
                "nothing could be learned. Repair such rows, or leave out the class."
            )

    def _codec_to_go_on_with(self, request):
        """Return the codec of the first fit, if this one can go on from there."""
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
        pooling = self.net_.module_.pooling
        if request.pooling != pooling:
            raise ValueError(
                f"{type(self).__name__} cannot go on training: pooling="
                f"{self.pooling!r}, and the first fit used {pooling!r}. Use "
                "warm_start=False."
            )
        head = self.net_.module_.head.kind
        if head != self.head:
            raise ValueError(
                f"{type(self).__name__} cannot go on training: head={self.head!r}, and "
                f"the first fit made {head!r}. Use warm_start=False."
            )
        return self._codec

    # -- rows --------------------------------------------------------------------------

    def _resolved(self):
        starts_at(self.head, self.head_init)  # or an error
        resolve_cache(self.cache)
        backbone = load_backbone(self.backbone, modality=self._modality)
        return Request(
            backbone=backbone,
            preprocess=self._adapt(backbone),
            depth=self._depth_of(backbone),
            pooling=backbone.resolve_pooling(self.pooling),
            batch_size="auto",
            device=resolve_device(self.device),
            precision=self.precision,
        )

    def _depth_of(self, backbone):
        if self.freeze_depth == AUTO:
            return auto_freeze_depth(len(backbone.blocks))
        return backbone.resolve_depth(
            self.freeze_depth, parameter="freeze_depth", minimum=0
        )

    def _set_fitted(self, column, request, codec, encoded, weight):
        self.n_features_in_ = 1
        self._learn_name(column)
        self._codec = codec
        self._fingerprint = request.backbone.fingerprint
        self._tuned = None
        mean, n_rows = getattr(self, "_seen", (0.0, 0))  # of calls of partial_fit
        n_rows += len(encoded)
        new = codec.mean_of(encoded, weight)
        mean = mean + (new - mean) * len(encoded) / n_rows
        self._seen = mean, n_rows
        self._prior = codec.outputs_of(mean)
        self.freeze_depth_ = _frozen_name(request)

    # -- predicting --------------------------------------------------------------------

    def _outputs(self, X):
        """Return the outputs of the head, a row each; the prior for bad rows."""
        import torch

        check_is_fitted(self, "net_")
        self._validate_params()
        column = self._column(X)
        self._check_name(column)
        request = self._fitted_request()
        module = self.net_.module_
        backbone = request.backbone
        from ._batches import arguments_of, inputs_of

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
            warns=True,
        )
        table = np.tile(self._prior, (len(column.cells), 1))
        for row, output in zip(rows, outputs.finish(), strict=True):
            if output is not None:
                table[row] = output
        return table

    def _fitted_request(self):
        request = self._resolved()
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
        return request._replace(depth=k, pooling=self.net_.module_.pooling)

    @property
    def backbone_(self) -> Backbone:
        """The tuned network as a `Backbone`, for encoders; made when first asked for.

        Making it in `fit` would cost each fit of a grid a copy and a hash.
        """
        check_is_fitted(self, "net_")
        if self._tuned is None:
            self._tuned = self._tuned_backbone()
        return self._tuned

    def _tuned_backbone(self):
        request = self._fitted_request()
        return self.net_.module_.tuned(request.backbone, request.depth)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the tuned backbone, which can be made again."""
        state = super().__getstate__()
        return state | {"_tuned": None} if "_tuned" in state else state

    def __sklearn_tags__(self) -> Tags:
        """Describe the estimator to scikit-learn."""
        tags = super().__sklearn_tags__()
        tags.non_deterministic = self.random_state is None
        tags.target_tags.required = True
        return tags


def _frozen_name(request):
    """Name of the last frozen block; empty if nothing is frozen."""
    k = request.depth
    return request.backbone.block_names[k - 1] if k else ""
