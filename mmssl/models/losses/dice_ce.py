"""Cross-entropy plus Dice over the whole batch, with a mask of the pixels that count."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmssl.registry import MODELS
from mmssl.utils.dist import sum_over_ranks


@MODELS.register_module()
class DiceCELoss(nn.Module):
    """Mean cross-entropy plus mean Dice loss over the classes, background included.

    Cross-entropy is the mean over ALL pixels of the masked values (the number of pixels in the
    mask does not enter), unless `masked_mean` is set. Dice sums over the whole batch, and over all
    ranks, for each class c: `1 - (2 sum(p g m) + eps) / (sum(g^2 m) + sum(p^2 m) + eps)`.

    Args:
        ce_weight: weight of the cross-entropy.
        dice_weight: weight of the Dice loss.
        mask_background: whether the mask holds for the background's Dice term too. The code
            released with SynFoC, MiDSS and ABD leaves that term unmasked, and so does this loss
            by default; the same fault was acknowledged and mended in BCP.
        eps: summand of numerator and denominator.
        masked_mean: take the cross-entropy's mean over the pixels of the mask alone, of all
            ranks, as BCP does.
        background: whether the background has a Dice term; the codes on Left Atrium leave it out.
        squared: take p^2 and g^2 in the denominator, else p and g.
        per_image: sum over each image by itself and take the mean, as BCP does on volumes.

    Example:
        >>> logits = torch.tensor([[[[0, .25], [.5, .75]], [[-1, -1.25], [-1.5, -1.75]],
        ...                         [[1, 1.125], [1.25, 1.375]]]])
        >>> target, mask = torch.tensor([[[0, 1], [2, 1]]]), torch.tensor([[[1., 0], [1, 1]]])
        >>> dice = DiceCELoss(ce_weight=0)
        >>> round(dice(logits, target).item(), 6), round(dice(logits, target, mask).item(), 6)
        (0.688779, 0.668993)
        >>> round(DiceCELoss(0, mask_background=True)(logits, target, mask).item(), 6)
        0.661712
        >>> round(DiceCELoss(dice_weight=0)(logits, target, mask).item(), 6)
        1.354724
        >>> round(DiceCELoss(0, background=False)(logits, target).item(), 6)
        0.715049
        >>> linear = DiceCELoss(0, squared=False, per_image=True)
        >>> round(linear(logits, target).item(), 6)
        0.777727
    """

    def __init__(
        self,
        ce_weight: float = 1.0,
        dice_weight: float = 1.0,
        mask_background: bool = False,
        eps: float = 1e-10,
        masked_mean: bool = False,
        background: bool = True,
        squared: bool = True,
        per_image: bool = False,
    ) -> None:
        super().__init__()
        self.ce_weight = ce_weight
        self.dice_weight = dice_weight
        self.mask_background = mask_background
        self.eps = eps
        self.masked_mean = masked_mean
        self.background = background
        self.squared = squared
        self.per_image = per_image

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: scores (N, C, H, W).
            target: class ids (N, H, W).
            mask: 1 where a pixel counts, else 0, (N, H, W); all pixels by default.
        """
        check_target(self, logits, target, (len(logits), *logits.shape[2:]))
        logits = logits.float()
        loss = logits.new_zeros(())
        if self.ce_weight:
            ce = F.cross_entropy(logits, target, reduction='none')
            loss = loss + self.ce_weight * mean_of(ce, mask, self.masked_mean)
        if self.dice_weight:
            loss = loss + self.dice_weight * self._dice(logits.softmax(1), target, mask)
        return loss

    def _dice(self, p: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
        g = F.one_hot(target, p.shape[1]).movedim(-1, 1).to(p.dtype)
        if mask is None:
            pm, gm = p, g
        else:
            m = mask[:, None].to(p.dtype).expand_as(p)
            if not self.mask_background:
                m = torch.cat([torch.ones_like(m[:, :1]), m[:, 1:]], dim=1)
            pm, gm = p * m, g * m
        axes = tuple(range(2, p.dim()))
        dims = axes if self.per_image else (0, *axes)
        overlap = (pm * g).sum(dims)
        total = (gm * g).sum(dims) + (pm * p).sum(dims) if self.squared else (gm + pm).sum(dims)
        if not self.per_image:
            overlap, total = sum_over_ranks(torch.stack([overlap, total]))
        dice: Tensor = 1 - (2 * overlap + self.eps) / (total + self.eps)
        if not self.background:
            dice = dice[..., 1:]
        return dice.mean()


@MODELS.register_module()
class DiceBCELoss(nn.Module):
    """Binary cross-entropy plus one Dice loss for parts that may overlap, as MiDSS on Fundus.

    Binary cross-entropy is the mean over all pixels and parts of the masked values; the Dice loss
    takes its sums over batch, ranks and parts together: `1 - (2 sum(p g m) + eps) /
    (sum(g^2 m) + sum(p^2 m) + eps)` with p the sigmoid of the logits.

    Args:
        bce_weight: weight of the cross-entropy.
        dice_weight: weight of the Dice loss.
        eps: summand of numerator and denominator.
        masked_mean: take the cross-entropy's mean over the mask alone, see `DiceCELoss`.

    Example:
        >>> logits, target = torch.zeros(1, 2, 1, 1), torch.tensor([[[[1.]], [[0.]]]])
        >>> round(DiceBCELoss(bce_weight=0)(logits, target).item(), 6)
        0.333333
        >>> round(DiceBCELoss(dice_weight=0)(logits, target).item(), 6)
        0.693147
    """

    def __init__(
        self,
        bce_weight: float = 1.0,
        dice_weight: float = 1.0,
        eps: float = 1e-10,
        masked_mean: bool = False,
    ) -> None:
        super().__init__()
        self.bce_weight = bce_weight
        self.dice_weight = dice_weight
        self.eps = eps
        self.masked_mean = masked_mean

    def forward(self, logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: scores (N, K, H, W).
            target: membership (N, K, H, W), 0 or 1 in float.
            mask: 1 where a pixel counts for a part, else 0, (N, K, H, W); all by default.
        """
        check_target(self, logits, target, tuple(logits.shape))
        logits = logits.float()
        mask = torch.ones_like(logits) if mask is None else mask
        bce = F.binary_cross_entropy_with_logits(logits, target, reduction='none')
        p = logits.sigmoid()
        sums = torch.stack([(p * target * mask).sum(), ((p**2 + target**2) * mask).sum()])
        overlap, total = sum_over_ranks(sums)
        dice: Tensor = 1 - (2 * overlap + self.eps) / (total + self.eps)
        bce = mean_of(bce, mask, self.masked_mean)
        loss: Tensor = self.bce_weight * bce + self.dice_weight * dice
        return loss


def check_target(loss: nn.Module, logits: Tensor, target: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a target of another form than a loss compares with.

    Raises:
        ValueError: parts instead of class ids, class ids instead of parts, or another size.
    """
    if target.dim() != len(shape):
        axes = ', '.join('DHW'[5 - logits.dim() :])
        parts = len(shape) == logits.dim()
        form = f'parts (N, K, {axes})' if parts else f'class ids (N, {axes})'
        raise ValueError(
            f'{type(loss).__name__} compares {form}, found a target '
            f'{tuple(target.shape)}: take DiceBCELoss where label_space is '
            'OverlappingParts, else DiceCELoss.'
        )
    if tuple(target.shape) != shape:
        raise ValueError(
            f'Logits {tuple(logits.shape)} do not fit a label '
            f'{tuple(target.shape)}: name the side of the labels, label=..., for '
            'this student in data_preprocessor.sizes.'
        )


def mean_of(values: Tensor, mask: Tensor | None, over_mask: bool = False) -> Tensor:
    """Return the mean of the masked values over all of them, or over those in the mask.

    Args:
        values: of each pixel, any shape.
        mask: 1 where a value counts, else 0, of the same shape; None for all.
        over_mask: divide by the number of values that count, on all ranks together.

    Example:
        >>> x, m = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])
        >>> mean_of(x, m).item(), mean_of(x, m, over_mask=True).item()
        (1.5, 3.0)
    """
    if mask is None:
        return values.mean()
    if not over_mask:
        return (values * mask).mean()
    total, count = sum_over_ranks(torch.stack([(values * mask).sum(), mask.to(values).sum()]))
    mean: Tensor = total / (count + 1e-16)
    return mean
