"""How the weight of the unsupervised terms grows, or falls: callables of iteration and count."""

import math

from mmssl.registry import RAMPS


@RAMPS.register_module()
class GaussianRamp:
    """Grow as `scale * exp(-5 (1 - t)^2)` with t in [0, 1], in stairs or smoothly.

    Source: Laine and Aila, Temporal Ensembling, https://arxiv.org/abs/1610.02242. With 200 stairs
    it is the ramp of the code released with SynFoC and MiDSS.

    Args:
        scale: value at the end.
        stairs: number of equal steps until it is at the end; 0 for a smooth curve.
        length: where its end is, as a multiple of the training; it stays there. The codes on
            volumes climb 40 stairs of 150 iterations, however long they train.

    Example:
        >>> ramp = GaussianRamp(stairs=40, length=6000 / 15000)
        >>> [round(ramp(t, 15000), 4) for t in (0, 150, 5999, 6000, 14999)]
        [0.0067, 0.0086, 0.9969, 1.0, 1.0]
        >>> ramp = GaussianRamp(stairs=200)
        >>> round(ramp(299, 60000), 6), round(ramp(300, 60000), 6), round(ramp(59999, 60000), 6)
        (0.006738, 0.007083, 0.999875)
    """

    def __init__(self, scale: float = 1.0, stairs: int = 0, length: float = 1.0) -> None:
        if length <= 0:
            raise ValueError(f'length of a ramp must be above 0, found {length}')
        self.scale = scale
        self.stairs = stairs
        self.length = length

    def __call__(self, iteration: int, max_iters: int) -> float:
        """Return the weight at `iteration` (counted from 0) of `max_iters`."""
        whole = max_iters if self.length == 1 else self.length * max_iters
        progress = iteration / whole
        if self.stairs:
            progress = iteration // (whole / self.stairs) / self.stairs
        return self.scale * math.exp(-5 * (1 - min(progress, 1.0)) ** 2)


@RAMPS.register_module()
class FallingGaussianRamp(GaussianRamp):
    """Fall from `scale` as `GaussianRamp` grows: its value at the iterations that are left.

    Source: the weight of SAM's masks in the code released with SemiSAM,
    https://arxiv.org/abs/2312.06316.

    Example:
        >>> ramp = FallingGaussianRamp(scale=0.1, stairs=40)
        >>> round(ramp(0, 6000), 6), round(ramp(3000, 6000), 6), round(ramp(5999, 6000), 6)
        (0.1, 0.02865, 0.000674)
    """

    def __call__(self, iteration: int, max_iters: int) -> float:
        """Return the weight at `iteration` (counted from 0) of `max_iters`."""
        return super().__call__(max_iters - iteration, max_iters)


@RAMPS.register_module()
class ExponentialRamp:
    """Grow as `scale * exp(-5 (1 - t))`, the formula printed in the SynFoC paper.

    Example:
        >>> round(ExponentialRamp()(30000, 60000), 3)
        0.082
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, iteration: int, max_iters: int) -> float:
        """Return the weight at `iteration` (counted from 0) of `max_iters`."""
        return self.scale * math.exp(-5 * (1 - min(iteration / max_iters, 1.0)))


@RAMPS.register_module()
class ConstantRamp:
    """Keep one weight for the whole training.

    Example:
        >>> ConstantRamp(0.5)(7, 100)
        0.5
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, iteration: int, max_iters: int) -> float:
        """Return the weight."""
        return self.scale
