"""One training iteration of a config, on generated images: all but the loading of the batch."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmssl.experiments.cost.work import OPTIMISERS, Part, WorkCounter, network_parts
from mmssl.experiments.timed_pipeline import (
    build_steps,
    run_steps,
    synthetic_samples,
    training_dataset,
)
from mmssl.structures import Step


def without_weights(node: Any) -> Any:
    """Return a config in which nothing names a file of published weights."""
    if isinstance(node, Mapping):
        new = {key: without_weights(value) for key, value in node.items()}
        return {**new, 'checkpoint': None} if 'checkpoint' in new and 'arch' in new else new
    if isinstance(node, (list, tuple)):
        return [without_weights(item) for item in node]
    return node


def generated_batch(cfg, side: int) -> dict:
    """Return a collated batch as the config's loader would give it, of generated images."""
    from mmssl.registry import FUNCTIONS

    dataset, loader = training_dataset(cfg), cfg.train_dataloader
    counts = {True: loader.batch_sampler.num_labelled, False: loader.batch_sampler.num_unlabelled}
    samples = synthetic_samples(dataset, side, max(counts.values()))
    prepare, batch = build_steps(dataset.prepare, skip_loading=True), []
    for labelled, count in counts.items():
        own = dataset.get('labelled_pipeline' if labelled else 'unlabelled_pipeline')
        steps = build_steps(own or dataset.get('pipeline', []))
        for index, raw in enumerate(samples[labelled][:count]):
            results, _ = run_steps(prepare, dict(raw))
            results['rng'] = np.random.default_rng([index, int(labelled)])
            batch.append(run_steps(steps, results)[0])
    return FUNCTIONS.get(loader.collate_fn.type)(batch)


class Iteration:
    """A method in the middle of its training; a call trains it on one batch, always the same.

    Args:
        cfg: the config.
        batch: what `generated_batch` gave.
        device: `cpu`, `cuda`, or `meta`, where nothing is computed and the weights mean nothing.
        amp: half precision where the device computes it well.
    """

    def __init__(self, cfg, batch: dict, device: str = 'cpu', amp: bool = False) -> None:
        from mmengine.optim import build_optim_wrapper

        from mmssl.engine.data_facts import build_model
        from mmssl.engine.optim import use_amp
        from mmssl.engine.speed import Speed

        model: Any = build_model(cfg)
        self.model = model
        self.device, self.batch = device, batch
        self.iter, self.max_iters = cfg.train_cfg.max_iters // 2, cfg.train_cfg.max_iters
        model.step = Step(self.iter, self.max_iters)
        if device != 'meta':
            model.init_weights()
        model.to(device).train()
        speed = Speed.of(cfg)
        if device == 'meta':  # where no optimiser is fused
            speed = replace(speed, fused=False)
        wrapper = speed.optimizers(use_amp(cfg.optim_wrapper) if amp else cfg.optim_wrapper)
        self.optim_wrapper = build_optim_wrapper(self.model, wrapper)
        speed.apply(self.model, self.optim_wrapper)
        self.teachers = _teacher_hooks(cfg, self.model)

    def __call__(self) -> dict[str, Tensor]:
        """Make every optimiser step of an iteration and move the teachers."""
        for hook in self.teachers:
            hook.set_mode()
        for phase in range(getattr(self.model, 'phases', 1)):
            self.model.step = Step(self.iter, self.max_iters, phase)
            losses: dict[str, Tensor] = self.model.train_step(self.batch, self.optim_wrapper)
        for hook in self.teachers:
            hook.update(self.iter)
        return losses

    @property
    def recorded(self) -> int | None:
        """How many passes are repeated as CUDA graphs; None without `speed.cuda_graph`."""
        return getattr(vars(self.model).get('train_step'), 'recorded', None)

    @property
    def warm_up(self) -> int:
        """How many calls it takes at least until all passes are what they will be."""
        from mmssl.engine.speed.step_graph import WARM_UP

        return 0 if self.recorded is None else WARM_UP + 2

    @property
    def dtype(self) -> torch.dtype | None:
        """The 16 bit type of the forward pass; None in float32."""
        found = getattr(self.optim_wrapper, 'precision', None)
        if found is not None:
            return found.dtype
        return torch.float16 if 'Amp' in type(self.optim_wrapper).__name__ else None

    @property
    def parts(self) -> list[Part]:
        """What `WorkCounter` tells apart."""
        moved: list[Part] = [('moving the teachers', hook, 'update') for hook in self.teachers]
        return [
            *network_parts(self.model),
            (OPTIMISERS, self.optim_wrapper, 'step'),
            (OPTIMISERS, self.optim_wrapper, 'zero_grad'),
            *moved,
        ]

    def count(self) -> WorkCounter:
        """Make one iteration and return what it took."""
        with WorkCounter(self.parts) as work:
            work.watch([*self.model.parameters(), *self.model.buffers()])
            self()
        return work

    def parameters(self) -> tuple[int, int]:
        """Return how many parameters learn, and how many there are."""
        every = list(self.model.parameters())
        return sum(p.numel() for p in every if p.requires_grad), sum(p.numel() for p in every)


def _teacher_hooks(cfg, model: nn.Module) -> list[Any]:
    """Return the hooks of a config that move teachers, ready to do it."""
    from mmssl.engine.hooks.ema_teacher_hook import EMATeacherHook
    from mmssl.registry import HOOKS

    hooks = []
    for hook_cfg in cfg.get('custom_hooks') or []:
        kind = HOOKS.get(hook_cfg['type'])
        if isinstance(kind, type) and issubclass(kind, EMATeacherHook):
            hook = HOOKS.build(dict(hook_cfg))
            hook.pair(model)
            hooks.append(hook)
    return hooks
