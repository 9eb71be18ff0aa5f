"""UST-RUN: SymGD that mixes with what is reliable, and mends what is not."""

from collections.abc import Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from mmssl.models.base.options import Options
from mmssl.models.base.terms import Logits, Losses, Views
from mmssl.models.losses.deep_supervision import join_coarse
from mmssl.models.methods.symgd import SymGD, SymGDTargets
from mmssl.models.strategies.mixing import covering, paste
from mmssl.models.strategies.pseudo_label import agreement
from mmssl.models.strategies.sample_queue import SampleQueue
from mmssl.registry import MODELS
from mmssl.structures import Batch, Step
from mmssl.utils.resize import resize_mask


class ReliableQueue(SampleQueue):
    """Keep the newest samples that are easy enough; what is enough tightens with them.

    A sample of hardness h is let in where `h < theta`. Then `theta = min(theta, max h)` over the
    queue, or `min(growth theta, ceiling)` where none of a batch was let in.

    Args:
        length: number of samples that are kept.
        ceiling: theta at the start, and its largest value.
        growth: factor of theta after a batch of which nothing was let in.

    Example:
        >>> queue = ReliableQueue(2, ceiling=0.5, growth=2.0)
        >>> queue.update([torch.tensor([1, 2])], torch.tensor([0.25, 0.75]))
        >>> queue.filled.tolist(), queue.threshold.item()
        ([True, False], 0.25)
        >>> queue.update([torch.tensor([3, 4])], torch.tensor([1.0, 0.25]))
        >>> queue.filled.tolist(), queue.threshold.item()
        ([True, False], 0.5)
    """

    threshold: Tensor
    """Theta, a scalar."""

    def __init__(self, length: int = 10, ceiling: float = 0.1, growth: float = 1.0005) -> None:
        super().__init__(length)
        self.ceiling, self.growth = ceiling, growth
        self.register_buffer('threshold', torch.tensor(ceiling))

    @torch.no_grad()
    def update(self, samples: Sequence[Tensor], hardness: Tensor) -> None:
        """Let samples (N, ...) in by their hardness (N,), and move the threshold."""
        accepted = hardness < self.threshold
        self.push([*samples, hardness], accepted)
        hardest = self.tensors[-1].masked_fill(~self.filled, 0).max()
        tighter = torch.minimum(self.threshold, hardest)
        looser = (self.growth * self.threshold).clamp(max=self.ceiling)
        self.threshold.copy_(torch.where(accepted.any(), tighter, looser))


@MODELS.register_module()
class USTRUN(SymGD):
    """UST-RUN (IEEE TMI 2025): `SymGD` that sorts the unlabelled images by how hard they are.

    Ma et al., Unleashing the Power of Intermediate Domains for Mixed Domain Semi-Supervised Medical
    Image Segmentation, https://arxiv.org/abs/2505.24567.

    An unlabelled image is mixed with a labelled one, or with a reliable unlabelled one and its
    pseudo-label. With D the Dice of student and teacher on u_w (0 where both are
    empty), the hardness is h = 1 - D, and Q a `ReliableQueue` of (u_w, yhat, W)::

        x = min(B / 2, |Q|) images of Q and labelled ones, with replacement, in any order
        Q <- u_w with h < theta

    The labelled ones count everywhere, those of Q where their W does. `unreliable` adds one
    image to ul: the hardest one of the iteration before, with the smallest box around its
    foreground and that of a labelled image, a random one, pasted from the latter.

    The student's pass on u_w moves its running statistics, as in the released code. Each student
    has a queue and a hardest image of its own, and so has each process.

    Args:
        start: iteration before which nothing is reliable.
        length: of the queue.
        ceiling: largest theta, see `ReliableQueue`.
        growth: of theta, see there.
        unreliable: train on the hardest image, as the article describes. In the released code, of
            every version, the variable that joins it to the loss is never set.
        threshold: see `SymGD`.
        amplitude: see `SymGD`.
    """

    def __init__(
        self,
        *,
        start: int = 500,
        length: int = 10,
        ceiling: float = 0.1,
        growth: float = 1.0005,
        unreliable: bool = False,
        threshold: dict[str, Any] | None = None,
        amplitude: float | None = 0.01,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(threshold=threshold, amplitude=amplitude, **options)
        self.start, self.unreliable = start, unreliable
        names = list(self.students)
        self.reliable = nn.ModuleDict({n: ReliableQueue(length, ceiling, growth) for n in names})
        self.hardest = nn.ModuleDict({n: SampleQueue(1) for n in names if unreliable})

    def partners(self, batch: Batch, name: str, step: Step) -> tuple[Tensor, Tensor, Tensor]:
        """Return for each unlabelled image a labelled or a reliable one: image, label, mask."""
        x, y = batch['x_w'][name], self.label_space.encode(batch['y'][name])
        count = len(batch['u_w'][name])
        index = torch.randint(len(x), (count,), device=x.device)
        chosen = [x[index], y[index], torch.ones_like(y[index], dtype=torch.float32)]
        queue: Any = self.reliable[name]
        if queue.tensors:
            kept, there = queue.draw(min(count // 2, queue.length), replacement=True)
            order = torch.randperm(count, device=x.device)
            for i, (labelled, old) in enumerate(zip(chosen, kept[:3], strict=True)):
                first, rest = labelled[: len(there)], labelled[len(there) :]
                is_old = there.view(-1, *(1,) * (old.dim() - 1))
                chosen[i] = torch.cat([torch.where(is_old, old, first), rest])[order]
        image, label, mask = chosen
        return image, label, mask

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, SymGDTargets]:
        """Show the intermediate images, and sort the unlabelled ones by how hard they are."""
        views, targets = super().prepare(batch, step)
        for name in self.students:
            sample = [batch['u_w'][name], *targets.direct[name]]
            hardness = self.hardness(name, sample[0], sample[1], step)
            queue: Any = self.reliable[name]
            if self.unreliable:
                self._add_hardest(batch, name, views, targets)
                worst = hardness.argmax(0, keepdim=True)
                store: Any = self.hardest[name]
                store.push([z[worst] for z in sample], torch.ones_like(worst, dtype=torch.bool))
            queue.update(sample, hardness)
            targets.curves[f'hardness_{name}'] = hardness.mean()
            targets.curves[f'reliable_{name}'] = queue.filled.float().sum()
        return views, targets

    @torch.no_grad()
    def hardness(self, name: str, u_w: Tensor, label: Tensor, step: Step) -> Tensor:
        """Return 1 - D of a student's prediction and a label on images, (N,)."""
        logits = self.to_label_size(name, self.students[name](u_w, mode='tensor'), u_w)
        own, given = (self.label_space.members(y) for y in (self.label_space.harden(logits), label))
        hardness = 1 - agreement(own, given, both_empty=0.0)
        return hardness if step.iter >= self.start else torch.ones_like(hardness)

    def _add_hardest(self, batch: Batch, name: str, views: Views, targets: SymGDTargets) -> None:
        """Add to ul the intermediate image of the hardest one, where there is one yet."""
        store: Any = self.hardest[name]
        if not store.tensors:
            return
        views.setdefault('hardest', {})[name], *added = self.mend(batch, name, *store.tensors)
        label, mask = targets.taught[name]['ul']
        targets.taught[name]['ul'] = (torch.cat([label, added[0]]), torch.cat([mask, added[1]]))

    def mend(
        self, batch: Batch, name: str, u: Tensor, label: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return an image (1, C, ...), its label and mask with a labelled image pasted in a box."""
        chosen = torch.randint(len(batch['x_w'][name]), (1,), device=u.device)
        x = batch['x_w'][name][chosen]
        y = self.label_space.encode(batch['y'][name][chosen])
        foreground = (self.label_space.members(label) | self.label_space.members(y)).any(0)
        drawn = self.inside(batch, 'box', y)[:1]
        box = torch.where(foreground.any(), covering(foreground), drawn)
        image = paste(u, x, resize_mask(box, x.shape[2:]))
        return image, paste(label, y, box), paste(mask, torch.ones_like(mask), box)

    def unsup_loss(self, batch: Batch, logits: Logits, targets: SymGDTargets, step: Step) -> Losses:
        """Return the terms of `SymGD`; ul has the image of the hardest one in it."""
        joined = {
            name: {**z, 'ul': join_coarse([z['ul'], z['hardest']])} if 'hardest' in z else z
            for name, z in logits.items()
        }
        return super().unsup_loss(batch, joined, targets, step)
