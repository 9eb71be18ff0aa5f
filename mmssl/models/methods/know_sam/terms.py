"""The parts of KnowSAM's loss: distillation, consistency, and the exchange of patches."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmssl.models.strategies.mixing import paste, repeat_to
from mmssl.utils.resize import resize_mask


def distillation(z: Tensor, teacher: Tensor, temperature: float, width: int) -> Tensor:
    """Return the mean of `T^2 KL(softmax(t / T) | softmax(z / T))` over rows of the logits.

    Args:
        z: logits that learn (N, C, H, W).
        teacher: logits t to follow, of the same shape; they get no gradient.
        temperature: T.
        width: of a row: C, a pixel each; the released code takes 2, whatever C is, so that of
            four classes the first two and the last two are compared by themselves.

    Example:
        >>> z, t = torch.tensor([1.0, 0, 0, 0]), torch.tensor([0.0, 0, 3, 0])
        >>> z, t = z.view(1, 4, 1, 1), t.view(1, 4, 1, 1)
        >>> round(distillation(z, t, 10, 4).item(), 4), round(distillation(z, t, 10, 2).item(), 4)
        (1.2211, 0.6187)
    """
    rows, wanted = (x.movedim(1, -1).reshape(-1, width) for x in (z, teacher.detach()))
    return temperature**2 * F.kl_div(
        (rows / temperature).log_softmax(1),
        (wanted / temperature).softmax(1),
        reduction='batchmean',
    )


def disagreement(p: Tensor, q: Tensor, classes: slice = slice(None)) -> Tensor:
    """Return the mean binary cross-entropy of probabilities p and q (N, C, H, W).

    q gets no gradient. Of the classes the mean is taken, in the released code the last alone.
    """
    p, q = p[:, classes].clamp(1e-8, 1 - 1e-7), q[:, classes].detach()
    return -(q * p.log() + (1 - q) * (1 - p).log()).mean()


@torch.no_grad()
def certain_patches(uncertainty: Tensor, grid: int, count: int) -> Tensor:
    """Return a mask of the patches of an image that are the most certain on average.

    Args:
        uncertainty: (N, 1, H, W).
        grid: patches along each side.
        count: patches of an image.

    Example:
        >>> certain_patches(torch.arange(4.0).view(1, 1, 2, 2), grid=2, count=1)[0, 0].tolist()
        [[1.0, 0.0], [0.0, 0.0]]
    """
    mean = F.adaptive_avg_pool2d(uncertainty, grid).flatten(1)
    best = mean.topk(count, 1, largest=False).indices
    mask = torch.zeros_like(mean).scatter(1, best, 1.0).view(-1, 1, grid, grid)
    return resize_mask(mask, uncertainty.shape[2:])


def exchange(x: Tensor, u: Tensor, in_x: Tensor, in_u: Tensor) -> tuple[Tensor, Tensor]:
    """Return x with u in the mask `in_x`, and u with x in the mask `in_u`.

    Of images (N, C, H, W) or labels (N, H, W) that are not as many, the fewer are repeated.
    """
    return paste(x, repeat_to(u, len(x)), in_x), paste(u, repeat_to(x, len(u)), in_u)
