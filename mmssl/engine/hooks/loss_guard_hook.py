"""Stop when a loss term is NaN or infinite, before anything broken is saved."""

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook

from mmssl.registry import HOOKS
from mmssl.utils.dist import unwrapped


@HOOKS.register_module()
class LossGuardHook(Hook):
    """Find NaN and infinite loss terms on the device and stop with iteration and term named.

    Every iteration only marks, on the device, the first iteration at which each term was not
    finite. The marks are read every `interval` iterations, at the end, and before every
    checkpoint, where the parameters are looked at too; so the checkpoints on the disk are sound.

    Args:
        interval: iterations between two readings.
    """

    priority = 'LOW'

    def __init__(self, interval: int = 50):
        self.interval = interval
        self.marks: dict[tuple[str, ...], torch.Tensor] = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Mark terms that are not finite; read the marks when it is time."""
        terms = {k: v for k, v in (outputs or {}).items() if isinstance(v, torch.Tensor)}
        if terms:
            names = tuple(terms)
            values = torch.stack([v.detach().float().reshape(()) for v in terms.values()])
            if names not in self.marks:
                self.marks[names] = torch.full_like(values, torch.inf, dtype=torch.float64)
            number = runner.iter + 1
            self.marks[names].masked_fill_(
                ~torch.isfinite(values) & torch.isinf(self.marks[names]), number
            )
        if self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner):
            self.check(runner)

    def before_checkpoint(self, runner) -> None:
        """Refuse to save a broken model."""
        self.check(runner)
        self.check_parameters(runner)

    def check(self, runner) -> None:
        """Read the marks of all ranks.

        Raises:
            FloatingPointError: a term was NaN or infinite.
        """
        found: dict[str, int] = {}
        for names, marks in self.marks.items():
            for name, first in zip(names, marks.tolist(), strict=True):
                if first != float('inf'):
                    found[name] = min(int(first), found.get(name, int(first)))
        first = torch.tensor(min(found.values(), default=float('inf')), dtype=torch.float64)
        all_reduce(first, op='min')
        if torch.isinf(first):
            return
        terms = ', '.join(f'"{k}"' for k, v in found.items() if v == int(first))
        where = f'of {terms}' if terms else 'on another rank'
        raise FloatingPointError(
            f'The value {where} became NaN or infinite at iteration {int(first)}; training stops. '
            f'{self._advice(runner)}'
        )

    def check_parameters(self, runner) -> None:
        """Look for parameters that are not finite.

        Raises:
            FloatingPointError: a trained parameter is NaN or infinite.
        """
        model = unwrapped(runner.model)
        named = [(n, p.detach()) for n, p in model.named_parameters() if p.requires_grad]
        if not named:
            return
        sound = torch.stack([torch.isfinite(p).all() for _, p in named])
        if not bool(sound.all()):
            name = named[int((~sound).nonzero()[0])][0]
            raise FloatingPointError(
                f'Parameter "{name}" is NaN or infinite at iteration {runner.iter}; training '
                f'stops and this state is not saved. {self._advice(runner)}'
            )

    @staticmethod
    def _advice(runner) -> str:
        last = runner.message_hub.get_info('last_ckpt') or 'none yet'
        return (
            f'The newest checkpoint, {last}, is intact. Lower the learning rate, clip the '
            'gradients (optim_wrapper.clip_grad=dict(max_norm=1)) or leave out --amp'
        )
