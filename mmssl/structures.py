"""What a training batch carries, and how one image is brought to a network's own size."""

from typing import NamedTuple

import torch


class Draw(NamedTuple):
    """One draw of the training sampler.

    Attributes:
        index: position in the data set's list of samples.
        iteration: training iteration, counted from 0.
        slot: position in the labelled (or unlabelled) part of the global batch.
        labelled: whether the sample is drawn with its mask.
    """

    index: int
    iteration: int
    slot: int
    labelled: bool


MADE_BY = {
    'x_w': 'labelled images (train_dataloader.batch_sampler.num_labelled)',
    'u_w': 'unlabelled images (train_dataloader.batch_sampler.num_unlabelled)',
    'y': 'labelled images (train_dataloader.batch_sampler.num_labelled)',
    'x_s': 'a StrongView to labelled_pipeline',
    'y_s': 'a StrongView to labelled_pipeline, with mask=True',
    'u_s': 'a StrongView to unlabelled_pipeline',
    'u_s2': "a StrongView to unlabelled_pipeline, with key='img_strong2'",
    'box': 'RandomPasteBox to unlabelled_pipeline',
    'box2': "RandomPasteBox to unlabelled_pipeline, with key='box2'",
}
"""What a config adds to have a view in the batch."""


class Batch(dict):
    """A batch of views that names what a config lacks when a method asks for a missing view.

    Raises:
        ValueError: on `batch[view]`, if the data pipeline does not make that view.

    Example:
        >>> Batch(u_w=1)['u_s']
        Traceback (most recent call last):
        ValueError: The batch has no view "u_s": add a StrongView to unlabelled_pipeline.
    """

    def __missing__(self, key: str):
        if key not in MADE_BY:
            raise KeyError(key)
        unlabelled = key.startswith(('u_', 'box')) and 'u_w' not in self
        made_by = MADE_BY['u_w' if unlabelled else key]
        raise ValueError(f'The batch has no view "{key}": add {made_by}.')


def nearest_index(
    n_in: int, n_out: int, device: torch.device | str | None = None
) -> torch.Tensor:
    """Return the source index of each output pixel on the corner-aligned nearest grid.

    Output `i` reads `i * (n_in - 1) / (n_out - 1)`, rounded half up, as
    `scipy.ndimage.zoom(order=0)` does, but for its last row and column: for some sizes (14 to 384,
    99 to 96; one pair in 37) rounding takes scipy out of the image there, and it returns 0 in
    place of the last pixel. Not the grid of `torch.nn.functional.interpolate(mode='nearest')`.

    Example:
        >>> nearest_index(8, 6).tolist()
        [0, 1, 3, 4, 6, 7]
        >>> nearest_index(16, 4).tolist()
        [0, 5, 10, 15]
    """
    if n_out == 1:
        return torch.zeros(1, dtype=torch.long, device=device)
    position = torch.arange(n_out, dtype=torch.float64, device=device) * (n_in - 1) / (n_out - 1)
    return torch.floor(position + 0.5).long()


def resize_nearest(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize the last two axes on the grid of `nearest_index`.

    Args:
        x: tensor (..., H, W) of any type.
        size: output height and width in pixels.
    """
    height, width = x.shape[-2:]
    if (height, width) == tuple(size):
        return x
    rows = nearest_index(height, size[0], x.device)
    columns = nearest_index(width, size[1], x.device)
    return x.index_select(-2, rows).index_select(-1, columns)
