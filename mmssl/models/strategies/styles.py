"""Unlabelled images lend the labelled ones their style, whatever the method."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmssl.models.strategies.frequency import in_8_bits, mix_amplitude
from mmssl.registry import MODELS
from mmssl.structures import is_image


@MODELS.register_module()
class UnlabelledStyle(nn.Module):
    """Mix low-frequency amplitudes of unlabelled images into the labelled ones, to a random degree.

    One of `data_preprocessor.batch_augments`, so that every method can have it: a network learns
    from the labels under the colours and the shading of the images that have none, and no label is
    guessed. Every labelled view of an image takes the style of the same unlabelled image u_w of the
    batch::

        |X| = (1 - d) |X| + d |U|  below `size`,  d ~ Uniform(degree) for each image

    with the phases of X. Sources: Yang and Soatto, FDA, CVPR 2020, https://arxiv.org/abs/2004.05498
    (d = 1); Liu et al., FedDG, CVPR 2021, https://arxiv.org/abs/2103.06030 (d drawn anew).

    Args:
        size: half of the window of low frequencies, as a part of the image's side; the window has
            `2 floor(size side) + 1` frequencies along each axis, at 64 px 3.
        degree: smallest and largest d.

    Raises:
        ValueError: `size` or `degree` lies outside its range.
    """

    def __init__(self, size: float = 0.02, degree: Sequence[float] = (0.0, 1.0)) -> None:
        super().__init__()
        if not 0 <= size < 0.5:
            raise ValueError(f'size must lie in [0, 0.5), found {size}')
        if len(degree) != 2 or not 0 <= degree[0] <= degree[1] <= 1:
            raise ValueError(
                f'degree must be two numbers of [0, 1], the smaller one first, found {degree}'
            )
        self.size, self.degree = size, tuple(degree)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the views, in grey values as the loader gave them, with the labelled ones changed.

        Raises:
            ValueError: the batch has no unlabelled image u_w.
        """
        if 'u_w' not in inputs or not len(inputs['u_w']):
            raise ValueError(
                'UnlabelledStyle takes the style of unlabelled images, but the batch has none: '
                'set train_dataloader.batch_sampler.num_unlabelled above 0'
            )
        style, count = inputs['u_w'].float(), len(inputs['x_w'])
        donor = torch.randint(len(style), (count,), device=style.device)
        style = style.index_select(0, donor)
        degree = style.new_empty(count, *(1,) * (style.dim() - 1)).uniform_(*self.degree)
        styled = {
            key: in_8_bits(mix_amplitude(view.float(), style, self.size, degree))
            for key, view in inputs.items()
            if is_image(key) and key.startswith('x')
        }
        return {**inputs, **styled}
