"""Learning rates that mmengine's schedulers do not express."""

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.lr_scheduler import PolyLR as MMEnginePolyLR
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler

from mmssl.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class PolyLR(MMEnginePolyLR):
    """Polynomial decay as mmengine's, with a last iteration that learns.

    Of T iterations, t counted from 0, iteration t learns at `(1 - t / (T - 1)) ** power` times the
    optimiser's rate. That is 0 in the last one, which the released codes, with T in the place of
    T - 1, do not reach. The last one has their rate, `(1 / T) ** power`; all others are mmengine's.

    With `stretch` s the decay is measured against s T iterations, of which the training sees the
    first T: iteration t learns at `(1 - t / (s T)) ** power` times the rate. CrossMatch trains for
    14,000 iterations with the rates of 17,000 on Left Atrium.

    Args:
        stretch: s, above 1; None for the decay above.
        **options: of mmengine's `PolyLR`.

    Raises:
        ValueError: `stretch` is not above 1.

    Example:
        >>> import torch
        >>> sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> schedule = PolyLR(sgd, power=1.0, begin=0, end=5, by_epoch=False)
        >>> [(round(schedule.get_last_value()[0], 6), sgd.step(), schedule.step())[0]
        ...  for _ in range(6)]
        [1.0, 0.75, 0.5, 0.25, 0.2, 0.2]
        >>> schedule = PolyLR(sgd, power=1.0, end=5, by_epoch=False, stretch=2)
        >>> [(round(schedule.get_last_value()[0], 6), sgd.step(), schedule.step())[0]
        ...  for _ in range(5)]
        [1.0, 0.9, 0.8, 0.7, 0.6]
    """

    def __init__(self, *args, stretch: float | None = None, **options) -> None:
        if stretch is not None and stretch <= 1:
            raise ValueError(f'stretch of PolyLR must be above 1, found {stretch}')
        self.stretch = stretch
        super().__init__(*args, **options)

    def _get_value(self) -> list[float]:
        """Return the rate of every group of parameters."""
        if self.stretch is not None:
            t = min(self.last_step, self.total_iters + 1)
            left = (1 - t / (self.stretch * (self.total_iters + 1))) ** self.power
            return [self.eta_min + (base - self.eta_min) * left for base in self.base_values]
        if self.last_step < max(self.total_iters, 1):
            return super()._get_value()
        last = (1 / (self.total_iters + 1)) ** self.power
        return [self.eta_min + (base - self.eta_min) * last for base in self.base_values]


@PARAM_SCHEDULERS.register_module()
class WarmupPolyLR(LRSchedulerMixin, _ParamScheduler):
    """Linear warm-up, then polynomial decay, as the released codes of SAMed and its kin have it.

    Iteration t, counted from 0, learns at the optimiser's rate times::

        max(t, 1) / warmup                          for t <= warmup
        (1 - (t - 1 - warmup) / end) ** power       afterwards

    There the rate of an iteration is set after the step before it, so that the first two are
    equal, and the decay counts from the end of the warm-up, but against the whole length. It thus
    ends above 0, and the more so where the training stops early (`end` beyond it).

    Args:
        optimizer: optimiser or its wrapper.
        warmup: iterations of the warm-up; 0 for none.
        end: iterations that the decay is measured against; in a config 'max_iters' is the length
            of the training.
        power: exponent of the decay.
        by_epoch: must be False; `warmup` and `end` are iterations.

    Raises:
        ValueError: `by_epoch` is not False, `warmup` is negative or `end` not positive.

    Example:
        >>> import torch
        >>> adamw = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> schedule = WarmupPolyLR(adamw, warmup=2, end=4, power=1.0)
        >>> [(schedule.get_last_value()[0], adamw.step(), schedule.step())[0] for _ in range(7)]
        [0.5, 0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer,
        warmup: int = 250,
        end: int = 60000,
        power: float = 0.9,
        by_epoch: bool = False,
        last_step: int = -1,
    ) -> None:
        if by_epoch:
            raise ValueError('WarmupPolyLR counts iterations: set by_epoch=False')
        if warmup < 0 or end < 1:
            raise ValueError(
                f'WarmupPolyLR needs warmup >= 0 and end >= 1, found warmup={warmup}, end={end}'
            )
        self.warmup, self.length, self.power = warmup, end, power
        super().__init__(optimizer, by_epoch=False, last_step=last_step)

    def _get_value(self) -> list[float]:
        """Return the rate of every group of parameters."""
        factor = self.factor(self.last_step)
        return [base * factor for base in self.base_values]

    def factor(self, t: int) -> float:
        """Return what the optimiser's rate is multiplied by in iteration t."""
        if t <= self.warmup and self.warmup:
            return max(t, 1) / self.warmup
        gone = max(t - 1 - self.warmup, 0) / self.length
        return max(1 - gone, 0.0) ** self.power
