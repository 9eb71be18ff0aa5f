"""What a training batch carries."""

from typing import NamedTuple


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
