"""How a fit trains, once the activations of its rows are there."""

import copy
from typing import NamedTuple

import numpy as np

from .._utils.allocator import hand_back
from .._utils.choices import Choices, any_of
from ._domain_losses import LOSSES
from ._heads import HEADS, make_head, starts_at
from ._passes import alike, at_random
from ._prefix import Prefix
from ._settings import Settings

SCALED_ROWS = 4096  # that are enough to learn a mean and a spread from


class Plan(NamedTuple):
    """What is trained on what.

    Attributes
    ----------
    request : Request
    settings : Settings
    frozen_C : float
        `probe_C` as it would be if no block were trained.
    codec : ClassCodec or NumberCodec
    views : list of sequence of ndarray
        As `RowsDataset` takes them.
    encoded, weight : ndarray
        Of all rows.
    train_rows, valid_rows : ndarray of int
        `valid_rows` may be None.
    target_rows : ndarray of int or None
        Of the other domain, without targets.
    seed : int
    is_resumed : bool
        Go on from `net_`.
    is_partial : bool
        One call of many, at a constant learning rate.
    """

    request: object
    settings: Settings
    frozen_C: float
    codec: object
    views: list
    encoded: np.ndarray
    weight: np.ndarray
    train_rows: np.ndarray
    valid_rows: np.ndarray | None
    target_rows: np.ndarray | None
    seed: int
    is_resumed: bool
    is_partial: bool


class Training:
    """The part of a fine-tuning estimator that trains."""

    def _train(self, plan):
        """Train on rows whose activations are there."""
        request = plan.request
        module = self._new_module(request, plan.codec)
        if plan.is_resumed:
            module.load_state_dict(self.net_.module_.state_dict())
        if self._is_on_the_fly() or request.depth == 0:
            module.prefix = Prefix(request)
        module.to(request.device)
        dataset, valid = self._datasets(plan)
        if self.batch_norm == "target":
            module.estimate_statistics(at_random(plan, plan.train_rows))
        if self.objective == "contrastive":
            net, n_epochs = self._train_by_pairs(plan, module, dataset, valid)
        else:
            net, n_epochs = self._train_by_outputs(plan, module, dataset, valid)
        module.prefix = None
        module.eval()
        self.net_ = net
        self.n_epochs_ = n_epochs + (self.n_epochs_ if plan.is_resumed else 0)
        before = self.history_ if plan.is_resumed else []
        self.history_ = [*before, *net.history[:n_epochs]]

    def _train_by_outputs(self, plan, module, dataset, valid):
        """Train blocks and head together; return the net and its whole epochs."""
        from ._net import Loss

        is_fitted = not HEADS[self.head].is_trained  # but before and after the training
        is_probe = starts_at(self.head, self.head_init) == "probe"
        is_probe = is_probe and not plan.is_resumed
        probe = start = None
        if is_probe and valid is not None and plan.frozen_C != plan.settings.probe_C:
            probe = self._fit_probe(module, plan, dataset)
        elif is_probe or is_fitted:
            self._fit_head(module, plan, dataset)
        if self.average and is_probe and not plan.is_partial:
            start = copy.deepcopy(module.state_dict())
        domain = self._domain_loss(plan)
        loss = Loss(plan.codec.task, plan.settings.label_smoothing)
        if not any(p.requires_grad for p in module.parameters()):
            return self._idle_net(plan, module, loss, []), 0
        net, n_epochs = self._run_net(
            plan,
            module,
            loss,
            dataset,
            valid,
            probe=probe,
            domain=domain,
            domain_loss_weight=self.domain_loss_weight,
            is_ramped=not plan.is_partial,
        )
        if start is not None:
            net.module_.average_with(start)
        if is_fitted:
            self._fit_head(module, plan, dataset, is_again=True)
        if self.batch_norm == "target":
            module.estimate_statistics(at_random(plan, plan.target_rows))
        if domain is not None and not (self.warm_start or plan.is_partial):
            net.forget_domain()
        return net, n_epochs

    def _train_by_pairs(self, plan, module, dataset, valid):
        """Train the blocks by comparing rows, then fit the head to what they make."""
        from ._contrastive import (
            ContrastiveLoader,
            ContrastiveLoss,
            batches_of_an_epoch,
        )
        from ._head_start import standardize
        from ._net import Loss

        for part in (dataset, valid):
            if part is not None:
                self._check_pairs(plan, part.indices)
        head = module.head
        order = np.random.default_rng(plan.seed).permutation(dataset.indices)
        few = self._features(module, plan, dataset, np.sort(order[:SCALED_ROWS]))
        standardize(head, *few[::2])
        module.head = head[:-1]
        net, n_epochs = self._run_net(
            plan,
            module,
            ContrastiveLoss(self.temperature),
            dataset,
            valid,
            loader=ContrastiveLoader,
            n_batches=batches_of_an_epoch(
                len(dataset),
                plan.settings.batch_size,
                plan.settings.max_epochs,
                self.max_pairs,
            ),
        )
        module.head = head
        hand_back()  # what training used; the features of all rows come next
        self._fit_head(module, plan, dataset)
        loss = Loss(plan.codec.task, plan.settings.label_smoothing)
        return self._idle_net(plan, module, loss, list(net.history)), n_epochs

    def _run_net(self, plan, module, loss, dataset, valid, *, domain=None, **options):
        """Make a net of the module and train it; return it and its whole epochs."""
        from ._make_net import make_net, train
        from ._optim import parameter_groups

        settings = plan.settings
        groups = parameter_groups(
            module,
            domain=domain,
            lr=settings.lr,
            backbone_lr_scale=settings.backbone_lr_scale,
            layer_decay=self.layer_decay,
            weight_decay=self.weight_decay,
        )
        net = make_net(
            module,
            loss,
            groups,
            dataset,
            valid,
            max_epochs=settings.max_epochs,
            batch_size=settings.batch_size,
            lr=settings.lr,
            lr_schedule="constant" if plan.is_partial else self.lr_schedule,
            gradient_clip_value=self.gradient_clip_value,
            n_iter_no_change=self.n_iter_no_change,
            device=plan.request.device,
            precision=self.precision,
            callbacks=self.callbacks,
            net_params=self.net_params,
            verbose=self.verbose,
            domain=domain,
            **options,
        )
        return net, train(net, dataset, settings.max_epochs, type(self).__name__)

    def _idle_net(self, plan, module, loss, history):
        from ._make_net import idle_net

        return idle_net(
            module,
            loss,
            device=plan.request.device,
            precision=self.precision,
            history=history,
        )

    def _datasets(self, plan):
        """Return the rows to train on, and those set aside (None without any)."""
        from ._augment import make_augment
        from ._batches import RowsDataset

        def dataset(rows, views, **options):
            return RowsDataset(
                plan.request.backbone,
                views,
                plan.encoded,
                plan.weight,
                rows,
                seed=plan.seed,
                **options,
            )

        augment = None
        if self._is_on_the_fly():
            augment = make_augment(self.augment, plan.request.preprocess.size)
        train = dataset(
            plan.train_rows, plan.views, augment=augment, target_rows=plan.target_rows
        )
        if plan.valid_rows is None:
            return train, None
        return train, dataset(plan.valid_rows, plan.views[:1])

    def _new_module(self, request, codec):
        """Return the trained part, with the weights of the backbone and a new head."""
        from ._trained import Trained

        backbone, k = request.backbone, request.depth
        blocks = list(backbone.blocks.values())[k:]
        return Trained(
            blocks,
            backbone.post_pool if blocks else None,
            make_head(self.head, backbone.widths[-1], codec.n_outputs, self.dropout),
            pooling=request.pooling,
            n_prefix_tokens=backbone.n_prefix_tokens,
            batch_norm=self.batch_norm,
        )

    def _domain_loss(self, plan):
        """Return the loss between domains, with what the last fit has left of it."""
        if self.domain_loss is None:
            return None
        from ._domain_net import DomainLoss

        width = plan.request.backbone.widths[-1]
        domain = DomainLoss(self.domain_loss, width, plan.codec.n_outputs)
        if plan.is_resumed:
            left = getattr(self.net_.criterion_, "domain", None)
            if left is not None and left.kind == domain.kind:
                domain.load_state_dict(left.state_dict())
        return domain.to(plan.request.device)

    def _why_target_rows(self):
        """Return the parameter that needs rows of a target domain, or None."""
        if self.domain_loss is not None:
            return f"domain_loss={self.domain_loss!r}"
        return "batch_norm='target'" if self.batch_norm == "target" else None

    def _check_domains(self, request, codec):
        """Refuse what could have no effect, or no meaning."""
        from ._trained import batch_norms

        loss, name = LOSSES.get(self.domain_loss), type(self).__name__
        blocks = list(request.backbone.blocks.values())[request.depth :]
        if loss is not None and loss.acts_on == "features" and not blocks:
            others = [
                other
                for other, spec in LOSSES.items()
                if spec.acts_on == "outputs"
                and (codec.task == "classes" or not spec.needs_classes)
            ]
            advice = "Use a smaller freeze_depth, such as -1"
            if others:
                advice += f"; or domain_loss={any_of(others)}, which trains the head"
            raise ValueError(
                f"{name}: domain_loss={self.domain_loss!r} moves the features, and "
                f"freeze_depth={self.freeze_depth!r} freezes all that makes them. "
                f"{advice}."
            )
        if loss is not None and loss.needs_classes and codec.task == "labels":
            others = Choices(LOSSES, lambda spec: not spec.needs_classes)
            raise ValueError(
                f"{name}: domain_loss={self.domain_loss!r} needs one class per row, "
                f"and y has {codec.n_outputs} labels per row. Use {any_of(others)}."
            )
        post_pool = request.backbone.post_pool if blocks else None
        if self.batch_norm == "target" and not batch_norms(*blocks, post_pool):
            raise ValueError(
                f"{name}: batch_norm='target' sets the statistics of BatchNorm in the "
                f"trained blocks, and behind freeze_depth={self.freeze_depth!r} "
                f"{request.backbone.name!r} has none. Use another batch_norm, or a "
                "smaller freeze_depth if its frozen blocks have some."
            )

    def _check_objective(self, request, codec, settings, is_partial):
        """Refuse what a contrastive objective and prototypes cannot take."""
        name, is_contrastive = type(self).__name__, self.objective == "contrastive"
        chosen = f"head={self.head!r}"
        if is_contrastive:
            chosen = "objective='contrastive'"
        elif HEADS[self.head].is_trained:
            return
        if codec.task != "classes":
            raise ValueError(
                f"{name}: {chosen} needs one class per row, and y has "
                f"{codec.n_outputs} labels per row. Use objective='log_loss' and "
                "another head."
            )
        if is_partial:
            raise ValueError(
                f"{name}: {chosen} fits the head to all rows at once, and partial_fit "
                "sees some of them. Use fit, with warm_start=True to go on training."
            )
        n_trained = len(request.backbone.blocks) - request.depth
        if not is_contrastive:
            # Losses on features were refused before.
            if self.domain_loss is not None and not n_trained:
                raise ValueError(
                    f"{name}: domain_loss={self.domain_loss!r} trains what {chosen} "
                    f"does not have, and freeze_depth={self.freeze_depth!r} freezes "
                    "the rest. Use another head, or a smaller freeze_depth."
                )
            return
        if not n_trained:
            raise ValueError(
                f"{name}: objective='contrastive' moves the features, and freeze_depth="
                f"{self.freeze_depth!r} freezes all that makes them. Use a smaller "
                "freeze_depth, such as -1; or objective='log_loss'."
            )
        heads = Choices(HEADS, lambda head: head.fit is not None)
        for parameter, is_taken, advice in (
            ("batch_size", settings.batch_size > 1, "2 or more"),
            ("head", self.head in heads, any_of(heads)),
            ("head_init", self.head_init != "random", "'auto'"),
            ("label_smoothing", settings.label_smoothing == 0, "0"),
            ("domain_loss", self.domain_loss is None, "None"),
            ("batch_norm", self.batch_norm != "target", "another one"),
        ):
            if not is_taken:
                raise ValueError(
                    f"{name}: objective='contrastive' does not take {parameter}="
                    f"{getattr(self, parameter)!r}, as it compares labelled rows with "
                    f"each other and fits the head afterwards. Use {advice}, or "
                    "objective='log_loss'."
                )

    def _check_pairs(self, plan, rows):
        if np.bincount(plan.encoded[rows]).max() < 2:
            raise ValueError(
                f"{type(self).__name__}: objective='contrastive' compares rows of one "
                f"class, and each of these {len(rows)} rows is the only one of its "
                "class. Use head='prototype' with freeze_depth='all', or without "
                "early_stopping."
            )

    def _features(self, module, plan, dataset, rows=None):
        """Return the features, targets and weights of the rows to train on."""
        import torch

        module.eval()
        rows = dataset.indices if rows is None else rows
        features = np.empty((len(rows), plan.request.backbone.widths[-1]))
        with torch.inference_mode():
            for positions, inputs in alike(plan.request, dataset.views[0], rows):
                vectors = module.features(**inputs).float().cpu().numpy()
                features[positions] = vectors
        return (
            features,
            dataset.targets.numpy()[rows],
            dataset.weights.numpy()[rows].astype(np.float64),
        )

    def _fit_probe(self, module, plan, dataset):
        """Set the head to its start; return the state of the best linear model."""
        found = self._features(module, plan, dataset)
        best = copy.deepcopy(module.head)
        again = [part.copy() for part in found]  # as fitting changes the features
        HEADS[self.head].fit(best, *again, task=plan.codec.task, C=plan.frozen_C)
        self._fit_head(module, plan, dataset, found)
        return best.state_dict()

    def _fit_head(self, module, plan, dataset, found=None, **options):
        """Set the head to a linear model, or to the means of the classes."""
        if found is None:
            found = self._features(module, plan, dataset)
        options = {"task": plan.codec.task, "C": plan.settings.probe_C} | options
        HEADS[self.head].fit(module.head, *found, **options)
