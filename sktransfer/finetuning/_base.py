"""Base of the four fine-tuning estimators: fit, predict, and the frozen prefix."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._extraction.estimator import ColumnEstimator
from .._extraction.runners import Request
from .._utils.allocator import kept_pages
from .._utils.arithmetic import settled_precision
from .._utils.callbacks import UNWATCHED, with_callbacks
from .._utils.devices import resolve_device
from .._utils.labels import check_groups, label_names
from .._utils.options import WithOptions
from .._utils.seeds import seeded
from .._utils.turns import turn
from .._utils.types import ArrayLike, Cells
from .._utils.validation import draw_seed, is_integer
from ..backbones import Backbone
from ..cache._default import resolve_cache
from . import _fit_rows as fit_rows
from . import _splits as splits
from ._activations import Forward
from ._checks import (
    check_can_go_on,
    check_recipe,
    last_frozen,
    takes_later_classes,
    why_target_rows,
)
from ._fit_rows import Part, Reading
from ._heads import starts_at
from ._later_classes import with_later_classes
from ._losses import ContrastiveLoss
from ._parameters import CONSTRAINTS, SHORTCUTS
from ._passes import behind_prefix, head_of_means, predict_batch
from ._plan import Plan, recipe_of
from ._settings import AUTO, PARAMETERS, Case, auto_freeze_depth, settle
from ._state import TrainingState
from ._training import train

if TYPE_CHECKING:
    from sklearn.utils import Tags

POLICIES = {"raise", "prior"}


class BaseFineTuner(WithOptions, ColumnEstimator):
    """Train the last blocks of a network and a head; the other blocks run once per row.

    A subclass inherits `ImageColumn` or `TextColumn`, and gives `_learn_codec`.
    """

    _parameter_constraints = CONSTRAINTS
    _shortcuts = SHORTCUTS
    # A fit without sample_domain has source rows only, and groups only keep rows
    # together, so passing them is always right.
    __metadata_request__fit = {"sample_domain": True, "groups": True}
    __metadata_request__partial_fit = {"sample_domain": True}

    # -- what a subclass changes -------------------------------------------------------

    augment: Any = None
    class_weight: Any = None
    n_epochs_: int
    history_: list[dict[str, Any]]
    _warns_of_columns = False

    def _learn_codec(self, y, weight, classes):
        raise NotImplementedError

    # -- fitting -----------------------------------------------------------------------

    @with_callbacks
    def fit(
        self,
        X: Cells,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        X_val: Cells | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Train the head and the blocks after `freeze_depth`.

        Parameters
        ----------
        X : list, 1-D array, Series, one-column frame or Arrow array of n_samples cells
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets. Several columns of 0 and 1 are labels; a regressor takes numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the loss. A row of weight 0 is left out. Other
            weights of target rows have no effect.
        sample_domain : array-like of shape (n_samples,), default=None
            Domain of each row: ``>= 0`` for source rows, ``< 0`` for target rows. The
            `y` of target rows is ignored. They take part only by `domain_loss` and
            ``batch_norm="target"``.
        groups : array-like of shape (n_samples,), default=None
            Group of each row. `early_stopping` never splits a group when it sets rows
            aside.
        X_val : list, 1-D array, Series, one-column frame or Arrow array, default=None
            Rows to watch. `history_` records their loss and `scoring`; `early_stopping`
            uses them instead of setting rows aside.
        y_val : array-like, default=None
            Targets of `X_val`.
        sample_weight_val : array-like, default=None
            Weights of the rows of `X_val` in the watched loss.

        Returns
        -------
        self
        """
        self._validate_params()
        rows = {"sample_weight": sample_weight, "sample_domain": sample_domain}
        n_subtasks = 2 + (X_val is not None)  # a pass over rows each, and the training
        with self._fit_task(X, y, n_subtasks, sample_weight=sample_weight) as task:
            return self._fit(
                X,
                y,
                **rows,
                groups=groups,
                watched=(X_val, y_val, sample_weight_val),
                is_resumed=self.warm_start and hasattr(self, "net_"),
                task=task,
            )

    def _partial_fit(self, X, y, classes, sample_weight, sample_domain):
        self._validate_params()
        rows = {"sample_weight": sample_weight, "sample_domain": sample_domain}
        with self._fit_task(X, y, 2, sample_weight=sample_weight) as task:
            return self._fit(
                X,
                y,
                **rows,
                classes=classes,
                is_resumed=hasattr(self, "net_"),
                is_partial=True,
                task=task,
            )

    def _fit(
        self,
        X,
        y,
        *,
        classes=None,
        sample_weight=None,
        sample_domain=None,
        groups=None,
        watched=(None, None, None),
        is_resumed,
        is_partial=False,
        task,
    ):
        caller = type(self).__name__
        column = self._column(X)
        n_rows = len(column.cells)
        # First everything that can be refused without looking at a cell.
        weight = fit_rows.row_weights(sample_weight, n_rows, caller)
        groups = check_groups(groups, n_rows, caller)
        recipe = recipe_of(self, is_partial)
        used, target_rows = fit_rows.rows_by_domain(
            weight, sample_domain, why_target_rows(recipe), caller
        )
        request = self._resolved()
        names = label_names(y)
        y = fit_rows.labelled(y, used, n_rows, caller, warns=self._warns_of_columns)
        places = None
        if is_resumed:
            check_can_go_on(self, request, recipe)
            codec, state = self._codec, self._state.copy()
            if is_partial and takes_later_classes(recipe, request):
                codec, places = with_later_classes(codec, classes, y, caller)
                if places is not None:
                    state.make_room(places, codec.n_outputs)
            else:
                codec.check_classes(classes, caller)
        else:
            codec = self._learn_codec(y, weight[used], classes)
            if names is not None and classes is None and codec.task == "labels":
                codec.classes = names
            state = TrainingState(draw_seed(self.random_state))
        codec.check_weight(self.class_weight, caller)
        case = Case(
            self._modality,
            codec.task,
            n_rows=len(used),
            n_trained=request.n_behind,
            start=starts_at(recipe.head.kind, recipe.head.init, codec.task),
            is_contrastive=isinstance(recipe.loss, ContrastiveLoss),
            may_average=recipe.loss.has_mean
            and not (recipe.stopping or is_resumed or is_partial),
            is_partial=is_partial,
        )
        asked = recipe.asked()
        settings = settle(asked, case)
        check_recipe(recipe, request, codec, settings, is_partial=is_partial)
        valid = fit_rows.watched_column(self._column, watched, column, codec, caller)
        encoded = fit_rows.for_all_rows(codec.encode(y, names), used, n_rows)
        # Rows of weight 0 and, without a domain loss, target rows do not run at all.
        only = used if target_rows is None else np.union1d(used, target_rows)
        reading = self._reading(request, recipe.augmentation, task)
        found = reading.views(column, only)
        used = fit_rows.without(used, found.bad, column, caller)
        if target_rows is not None:
            target_rows = fit_rows.without(
                target_rows, found.bad, column, caller, "target rows"
            )
        if not is_resumed and classes is None:
            splits.check_classes_left(codec, encoded, used, "can be read", caller)
        # Balanced classes and the scale of weights are those of all calls together.
        given = weight.copy()
        counts = state.count(codec.counts_of(encoded[used]))
        weight[used] *= codec.row_weights(encoded[used], counts, self.class_weight)
        if not is_resumed and not weight[used].any():
            raise ValueError(
                f"{caller}: class_weight={self.class_weight!r} gives every row 0; "
                "expected a weight above 0 for a class of y."
            )
        scale = state.scale_of(weight[used])
        weight /= scale
        train_part = Part(found.views, encoded, weight, used, found.parts)
        if valid is not None:
            valid = fit_rows.watched_part(reading, valid, caller)
            of_class = codec.row_weights(valid.targets, counts, self.class_weight)
            valid = valid._replace(weights=valid.weights * of_class / scale)
        elif not is_partial:
            rows, aside = splits.split(
                used,
                encoded,
                found.first,
                groups,
                codec,
                recipe.set_aside,
                state.seed,  # the same rows in every call
                caller,
            )
            train_part = train_part._replace(rows=rows)
            if len(aside):
                valid = train_part._replace(views=found.views[:1], rows=aside)
        if not is_resumed and not is_partial:
            splits.check_classes_left(
                codec,
                encoded,
                train_part.rows,
                "is left to train on after others were set aside",
                caller,
            )
        plan = Plan(
            recipe=recipe,
            request=request,
            settings=settings,
            frozen_C=settle(asked, case._replace(n_trained=0)).C,
            start=case.start,
            codec=codec,
            label_weights=codec.label_weights(counts, state.n_rows, self.class_weight),
            class_weights=codec.weights_of_classes(counts, self.class_weight),
            given=given,
            places=places,
            train=train_part,
            valid=valid,
            target_rows=target_rows,
            seed=state.next_seed(),
            state=state,
            net=self.net_ if is_resumed else None,
            is_partial=is_partial,
        )
        # Seeded inside the turn, as torch's generator is one for all threads.
        pages = kept_pages if request.device.type == "cpu" else contextlib.nullcontext
        with (
            turn(request.device, request.precision),
            seeded(plan.seed, request.device),
            pages(),
            task.subtask("train", settings.max_epochs) as training,
        ):
            net, n_epochs, history = train(plan, training)
        # The prior of `missing="prior"` is that of all calls of partial_fit together.
        prior = state.prior_of(
            codec.mean_of(encoded[used], given[used]),
            given[used].sum(),
            is_new=not is_partial,
        )
        self._prior = codec.outputs_of(prior)
        self._set_fitted(column, plan, net, n_epochs, history)
        return self

    def _reading(self, request, augmentation=None, task=UNWATCHED):
        return Reading(
            self._run,
            request,
            self.cache,
            self.activation_dtype,
            augmentation,
            self.random_state if is_integer(self.random_state) else 0,
            task,
        )

    # -- networks ----------------------------------------------------------------------

    def _resolved(self):
        resolve_cache(self.cache)
        backbone = self._load_backbone()
        device = resolve_device(self.device)
        return Request(
            backbone=backbone,
            preprocess=self._adapt(backbone),
            depth=self._depth_of(backbone),
            pooling=backbone.resolve_pooling(self.pooling),
            batch_size="auto",
            device=device,
            precision=settled_precision(self.precision, device),
        )

    def _depth_of(self, backbone):
        if self.freeze_depth == AUTO:
            return auto_freeze_depth(len(backbone.blocks))
        return backbone.resolve_depth(
            self.freeze_depth, parameter="freeze_depth", minimum=0
        )

    def _set_fitted(self, column, plan, net, n_epochs, history):
        """Set what was learned; nothing here can fail."""
        is_resumed = plan.net is not None
        self.n_features_in_ = 1
        self._learn_name(column)
        self.net_ = net
        self.n_epochs_ = n_epochs + (self.n_epochs_ if is_resumed else 0)
        self.history_ = [*(self.history_ if is_resumed else []), *history]
        self._codec = plan.codec
        self._fingerprint = plan.request.backbone.fingerprint
        self._tuned = None
        self._state = plan.state
        self.freeze_depth_ = last_frozen(plan.request)
        self.settings_ = {
            "freeze_depth": self.freeze_depth_,
            "trained_share": net.module_.share_of(plan.request.backbone),
        }
        has_labels = hasattr(self._options("loss"), "label_smoothing")
        for name, value in plan.settings._asdict().items():
            if has_labels or name != "label_smoothing":
                self.settings_[PARAMETERS.get(name, name)] = value

    # -- predicting --------------------------------------------------------------------

    def _outputs(self, X):
        """Return the outputs of the head per row; bad rows get the prior."""
        check_is_fitted(self, "net_")
        self._validate_params()
        column = self._column(X)
        self._check_name(column)
        request = self._fitted_request()

        def forward(n_cells, has_parts):
            # The head is for rows, whose parts run one by one.
            run = behind_prefix(self.net_, request, has_head=not has_parts)
            return Forward(run, n_cells, predict_batch(request.device))

        ran = self._run(column, self._reading(request).runner(), forward, warns=True)
        outputs = ran.found.finish()
        if ran.parts is not None:
            outputs = head_of_means(self.net_, outputs, ran.parts)
        table = np.tile(self._prior, (len(column.cells), 1))
        for row, output in zip(ran.rows, outputs, strict=True):
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
                f"{type(self).__name__} was fitted with another network: the weights "
                f"of {backbone.name!r} or the parameter backbone have changed since. "
                "Fit again."
            )
        return request._replace(depth=k, pooling=self.net_.module_.pooling)

    @property
    def backbone_(self) -> Backbone:
        """Fine-tuned network as a `Backbone`, for encoders; made at the first access.

        Making it in `fit` would cost each fit of a grid a copy and a hash.
        """
        check_is_fitted(self, "net_")
        if self._tuned is None:
            request = self._fitted_request()
            self._tuned = self.net_.module_.tuned(request.backbone, request.depth)
        return self._tuned

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
