"""What spans the ranks in losses: each case on a batch whose two halves differ in mask and class.

A case takes the tensors of a batch, of which the first carries a gradient, and returns a scalar.
Values are in double precision where the loss keeps it, so that rounding is no excuse.
"""

from types import SimpleNamespace

import torch
import torch.distributed as dist
from torch import Tensor

from mmssl.models.base.label_space import ExclusiveClasses
from mmssl.models.losses import (
    DiceBCELoss,
    DiceCELoss,
    KLConsistencyLoss,
    MSEConsistencyLoss,
    NegativeLearningLoss,
)
from mmssl.models.losses.dice_ce import mean_of
from mmssl.models.methods.bcp.bcp import BCP
from mmssl.models.methods.ss_net import vat
from mmssl.models.methods.urpc import URPC
from mmssl.models.sam.hsam_head import HSAMHead
from mmssl.models.sam.mask_guided_decoder import ClassNoise
from mmssl.models.strategies import contrastive
from mmssl.utils import dist as ranks

CLASSES, SIDE = 3, 6


def batch() -> dict[str, Tensor]:
    """Return four images; the second half has another class, a fuller mask and higher logits."""
    g = torch.Generator().manual_seed(3)
    logits = torch.randn(4, CLASSES, SIDE, SIDE, generator=g)
    logits[2:] *= 3
    label = torch.zeros(4, SIDE, SIDE, dtype=torch.long)
    label[:2, :2], label[2:, 1:] = 1, 2
    label[2, 0, :2] = 1
    mask = torch.zeros(4, SIDE, SIDE)
    mask[0, 0], mask[2:, 1:] = 1, 1
    other = torch.randn(4, CLASSES, SIDE, SIDE, generator=g).softmax(1)
    return dict(x=logits, label=label, mask=mask, other=other)


def parts(b: dict) -> Tensor:
    """Return the label as overlapping parts (N, 2, H, W)."""
    return torch.stack([b['label'] > 0, b['label'] > 1], 1).float()


def rows(x: Tensor) -> Tensor:
    """Return the pixels' vectors, in the order of labels."""
    return contrastive.pixel_rows(x)


def pixel_contrast(x: Tensor, b: dict) -> Tensor:
    """Return SS-Net's loss after one batch was remembered."""
    torch.manual_seed(0)
    module = contrastive.PixelContrast(CLASSES, CLASSES, channels=4, memory_size=8)
    f, label = rows(x), b['label'].flatten()
    module.remember(f.detach(), label, label > 0)
    return module(f, label)


def row_norm(x: Tensor, b: dict) -> Tensor:
    """Return a function of normalised rows and of the running statistics they leave."""
    norm = contrastive.RowNorm(CLASSES)
    y = norm(rows(x), rows(b['mask'][:, None]))
    return (y**3).mean() + (norm.running_mean + norm.running_var).sum()


def urpc(x: Tensor, b: dict) -> Tensor:
    """Return URPC's consistency of three scales that disagree."""
    method = SimpleNamespace(label_space=ExclusiveClasses([[1]], CLASSES))
    return URPC.consistency(method, [x, 2 * x.flip(1), b['other'] - x])


def bcp(x: Tensor, b: dict) -> Tensor:
    """Return BCP's masked terms."""
    method = SimpleNamespace(criterion=DiceCELoss(masked_mean=True, mask_background=True))
    mask, label = b['mask'][:, None], b['label']
    return BCP.mixed_loss(method, {'u': x}, [('u', label, mask), ('u', label.flip(1), 1 - mask)])


def map_noise(x: Tensor, b: dict) -> Tensor:
    """Return what H-SAM adds to its maps: their mean, and a deviation by the classes' order."""
    deviation = ClassNoise(stds=(0.5, 0.2, 0.1)).std_of(b['label'], CLASSES).mean()
    return deviation + (ClassNoise(stds=(0.0,), dropout=0.0)(x, b['other']) ** 2).mean()


def embedding_range(x: Tensor, b: dict) -> Tensor:
    """Return the range of a batch of embeddings, as H-SAM scales its noise."""
    torch.manual_seed(0)
    head = SimpleNamespace(training=True, image_noise=1.0)
    noise = HSAMHead.noisy(head, x) - x
    torch.manual_seed(0)
    return (noise / torch.randn_like(x)).mean()


CASES = {
    'dice_ce': lambda x, b: DiceCELoss()(x, b['label'], b['mask']),
    'dice_ce_masked_mean': lambda x, b: DiceCELoss(dice_weight=0, masked_mean=True)(
        x, b['label'], b['mask']
    ),
    'dice_bce': lambda x, b: DiceBCELoss()(x[:, 1:], parts(b)),
    'mse_consistency': lambda x, b: MSEConsistencyLoss()(
        x.softmax(1), b['other'], b['mask'][:, None]
    ),
    'kl_consistency': lambda x, b: KLConsistencyLoss()(
        x.softmax(1), b['other'], b['mask'][:, None]
    ),
    'mean_of': lambda x, b: mean_of(x[:, 0] ** 2, b['mask'], over_mask=True),
    'negative_learning': lambda x, b: NegativeLearningLoss()(b['other'], x.softmax(1)),
    'vat_distance': lambda x, b: vat.soft_dice(x.softmax(1), b['other']),
    'class_contrast': lambda x, b: contrastive.class_contrast(
        rows(x), b['label'].flatten(), CLASSES, 0.5
    ),
    'pixel_contrast': pixel_contrast,
    'row_norm': row_norm,
    'urpc': urpc,
    'bcp': bcp,
    'map_noise': map_noise,
    'embedding_range': embedding_range,
}


def value_and_gradient(case, b: dict) -> tuple[Tensor, Tensor]:
    """Return a case's loss and its gradient to the first tensor."""
    torch.manual_seed(0)
    x = b['x'].clone().requires_grad_()
    loss = case(x, b)
    (grad,) = torch.autograd.grad(loss, x)
    return loss.detach(), grad


def run_rank(rank: int, port: int, folder: str) -> None:
    """Compute every case on this rank's half, and again with sums that stay local."""
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    half = {key: value.chunk(2)[rank] for key, value in batch().items()}
    summed = {name: value_and_gradient(case, half) for name, case in CASES.items()}
    ranks._SumOverRanks.apply = staticmethod(lambda x: x)
    local = {name: value_and_gradient(case, half) for name, case in CASES.items()}
    torch.save((summed, local), f'{folder}/{rank}.pth')
    dist.destroy_process_group()
