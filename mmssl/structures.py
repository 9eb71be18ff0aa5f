"""What the parts of a training hand to each other: draws, views, batches, steps."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor, nn


class Draw(NamedTuple):
    """One draw of the training sampler.

    Attributes:
        index: position in the data set's list of samples.
        iteration: training iteration, counted from 0.
        slot: position in the labelled (or unlabelled) part of the global batch.
        labelled: whether the sample is drawn with its mask.
    """

    index: int  # type: ignore[assignment]  # takes the name of tuple.index, which none needs
    iteration: int
    slot: int
    labelled: bool


class Step(NamedTuple):
    """Where a training stands.

    Attributes:
        iter: iteration under way, counted from 0.
        max_iters: number of iterations of the training.
        phase: optimiser step under way, of the `phases` of an iteration, counted from 0.
    """

    iter: int = 0
    max_iters: int = 1
    phase: int = 0

    @property
    def progress(self) -> float:
        """Part of the training that is done, 0 to 1."""
        return self.iter / self.max_iters


IMAGE, LABEL, BOX = 'img', 'gt', 'box'
"""What the keys of a pipeline's results begin with that become entries of a batch."""

SHORT = {'strong': 's', 'strong2': 's2'}
"""How the papers shorten the name of a view; others keep theirs (`img_mild` becomes `u_mild`)."""

MADE_BY = {
    'x_w': 'labelled images (train_dataloader.batch_sampler.num_labelled)',
    'u_w': 'unlabelled images (train_dataloader.batch_sampler.num_unlabelled)',
    'y': 'labelled images (train_dataloader.batch_sampler.num_labelled)',
    'x_s': 'a StrongView to labelled_pipeline',
    'y_s': 'a StrongView to labelled_pipeline, with mask=True',
    'u_s': 'a StrongView to unlabelled_pipeline',
    'u_s2': "a StrongView to unlabelled_pipeline, with key='img_strong2'",
    'box': 'RandomPasteBox (volumes: RandomPasteCuboid) to unlabelled_pipeline',
    'box2': "RandomPasteBox (volumes: RandomPasteCuboid) to unlabelled_pipeline, with key='box2'",
}
"""What a config adds to have a view in the batch."""


OF_EITHER = ('grid', 'maps')
"""What a labelled or an unlabelled image has beside its views."""


def view_name(key: str, labelled: bool) -> str | None:
    """Return the entry of the batch that a pipeline's result becomes; None if it becomes none.

    This is the table of views: `img` is the weak view x_w of a labelled or u_w of an unlabelled
    image, `img_strong`, `img_strong2`, `img_<name>` its views x_s, x_s2 and x_<name> (u_...),
    `gt` and `gt_<name>` the masks y and y_<name> of a labelled one; the boxes of an unlabelled one
    keep their names, and so do the grid and the maps of either.

    Example:
        >>> [view_name(key, False) for key in ('img', 'img_strong2', 'img_mild', 'box', 'grid')]
        ['u_w', 'u_s2', 'u_mild', 'box', 'u_grid']
        >>> view_name('gt_strong', True), view_name('gt', False), view_name('affine', True)
        ('y_s', None, None)
    """
    kind, _, name = key.partition('_')
    name = SHORT.get(name, name)
    image = 'x' if labelled else 'u'
    if kind == IMAGE and key != 'img_path':
        return f'{image}_{name or "w"}'
    if kind == LABEL:
        return (f'y_{name}' if name else 'y') if labelled else None
    if kind.startswith(BOX) and not key.endswith('_size'):
        return None if labelled else key
    return f'{image}_{key}' if key in OF_EITHER else None


def is_image(view: str) -> bool:
    """Return whether an entry of a batch holds images: all `x_...` and `u_...` but grid and maps.

    Example:
        >>> [is_image(view) for view in ('x_w', 'u_s2', 'u_grid', 'x_maps', 'y', 'box')]
        [True, True, False, False, False, False]
    """
    kind, _, name = view.partition('_')
    return kind in ('x', 'u') and name not in OF_EITHER


def made_by(view: str) -> str | None:
    """Return what a config adds to have a view in the batch; None if it is the name of none.

    Example:
        >>> made_by('u_mild')
        "a StrongView to unlabelled_pipeline, with key='img_mild'"
    """
    if view in MADE_BY:
        return MADE_BY[view]
    kind, _, name = view.partition('_')
    pipelines = {'x': 'labelled_pipeline', 'y': 'labelled_pipeline', 'u': 'unlabelled_pipeline'}
    if kind not in pipelines or not name or name in OF_EITHER:
        return None
    mask = ', mask=True' * (kind == 'y')
    return f"a StrongView to {pipelines[kind]}, with key='img_{name}'{mask}"


class Batch(dict[str, Any]):
    """A batch of views that names what a config lacks when a method asks for a missing view.

    Every image view (`x_w`, `u_w`, `u_s`, ...) and label (`y`, `y_s`) is a dict of student name to
    tensor; `box`, `box2` (N, 4 or 5; N, 9 for volumes) and what else the pipeline makes are for all
    students.

    Args:
        views: the entries.
        samples: what is known of the labelled and of the unlabelled images, data samples.

    Raises:
        ValueError: on `batch[view]`, if the data pipeline does not make that view.

    Example:
        >>> Batch(dict(u_w=1))['u_s']
        Traceback (most recent call last):
        ValueError: The batch has no view "u_s": add a StrongView to unlabelled_pipeline.
    """

    def __init__(
        self,
        views: Mapping[str, Any],
        samples: Mapping[str, Sequence[BaseDataElement]] | None = None,
    ) -> None:
        super().__init__(views)
        self.samples = dict(samples if samples is not None else getattr(views, 'samples', {}))

    def __missing__(self, key: str) -> Any:
        unlabelled = key.startswith(('u_', 'box')) and 'u_w' not in self
        maker = made_by('u_w' if unlabelled else key)
        if maker is None:
            raise KeyError(key)
        raise ValueError(f'The batch has no view "{key}": add {maker}.')

    def about(self, key: str, labelled: bool = False) -> list[Any]:
        """Return what is known of the unlabelled (labelled) images, one entry for each.

        Args:
            key: `domain`, `case`, `name`, `spacing` or another entry of the metainfo.
            labelled: of the labelled images instead.

        Raises:
            ValueError: the batch came without data samples, or they say nothing of that kind.
        """
        kind = 'labelled' if labelled else 'unlabelled'
        samples = self.samples.get(kind) or []
        images = self['x_w' if labelled else 'u_w']
        count = len(next(iter(images.values())))
        if len(samples) != count:
            raise ValueError(
                f'{count} {kind} images, but the batch says of {len(samples)} what '
                'they are: pass data_samples to `loss` too.'
            )
        if any(key not in sample for sample in samples):
            raise ValueError(
                f'The {kind} data samples do not say "{key}": add it to meta_keys of '
                f'PackSemiInputs; they have {sorted(samples[0].metainfo_keys())}.'
            )
        return [sample.get(key) for sample in samples]


class VoxelData(PixelData):
    """What is known of every voxel of a volume: `PixelData` with a third axis.

    Fields are arrays or tensors (D, H, W) or (C, D, H, W), all of one size; the former become
    (1, D, H, W). `shape` is (D, H, W), and an index is one of three slices or numbers.

    Example:
        >>> import torch
        >>> truth = VoxelData(data=torch.zeros(2, 3, 4))
        >>> truth.shape, tuple(truth.data.shape), truth[:, 1:, :2].shape
        ((2, 3, 4), (1, 2, 3, 4), (2, 2, 2))
    """

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a field.

        Raises:
            ValueError: it is no array of a volume, or one of another size than the other fields.
        """
        if name in ('_metainfo_fields', '_data_fields'):
            super().__setattr__(name, value)
            return
        if getattr(value, 'ndim', 0) not in (3, 4):
            found = f'shape {tuple(value.shape)}' if hasattr(value, 'shape') else repr(value)[:80]
            raise ValueError(
                f'"{name}" of VoxelData is {found}: give an array (D, H, W) or (C, D, H, W).'
            )
        value = value[None] if value.ndim == 3 else value
        if self.shape not in (None, tuple(value.shape[1:])):
            raise ValueError(
                f'"{name}" of VoxelData has the size {tuple(value.shape[1:])}, but the '
                f'other fields {self.shape}: bring all to one size.'
            )
        BaseDataElement.__setattr__(self, name, value)

    def __getitem__(self, item: Sequence[int | slice]) -> 'VoxelData':
        """Return all fields in a part of the volume."""
        if not isinstance(item, tuple) or len(item) != 3:
            raise IndexError(f'VoxelData has three axes, found the index {item!r}')
        box = [slice(one, one + 1 or None) if isinstance(one, int) else one for one in item]
        part = type(self)(metainfo=self.metainfo)
        for name, value in self.items():
            setattr(part, name, value[(slice(None), *box)])
        return part

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Size (D, H, W) of the volume, None without a field."""
        first = next(iter(self.values()), None)
        return None if first is None else tuple(first.shape[1:])


def element(data: Tensor) -> PixelData:
    """Return labels or scores of an image as what a data sample takes.

    Args:
        data: (C, H, W) of a slice, or (C, D, H, W) of a volume.
    """
    return VoxelData(data=data) if data.dim() == 4 else PixelData(data=data)


@runtime_checkable
class Trainable(Protocol):
    """What runner, loops and hooks ask of a model; `SemiSegmentor` and `DDPM` answer all of it.

    Attributes:
        step: where the training stands; the loop sets it before each optimiser step.
        students: networks that learn, by name.
        teachers: those that `EMATeacherHook` moves, by the name of their student.
    """

    step: Step
    students: nn.ModuleDict
    teachers: nn.ModuleDict

    @property
    def phases(self) -> int:
        """Optimiser steps of the iteration under way."""

    @property
    def outputs(self) -> list[str]:
        """Names of the predictions, the one that counts first; scores have them."""

    def check_data(self, metainfo: Mapping[str, Any]) -> None:
        """Compare the classes with those of a data set."""


@runtime_checkable
class Predicting(Protocol):
    """What a prediction asks of a model.

    Attributes:
        label_space: what the channels mean; its `table` says which classes make up each part.
    """

    label_space: Any

    @property
    def outputs(self) -> Sequence[str]:
        """Names of the predictions, the one that counts first."""

    def scores(
        self,
        inputs: Any,
        data_samples: Sequence[Any],
        name: str,
        teacher: bool = False,
    ) -> Sequence[Tensor]:
        """Return the class scores (C, h, w) of each image, whose softmax are probabilities."""


@runtime_checkable
class Labelling(Protocol):
    """What `DiagnosticHook` asks of a model."""

    def pseudo_labels(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the class maps (N, H, W) that teach, and scalars for each image (N,)."""


@runtime_checkable
class Pretrained(Protocol):
    """What `PretrainHook` asks of a model.

    Attributes:
        primary: name of the student whose score says which weights are the best.
        pretrain_iters: length of the pre-training.
        pretrained: names of the students that are pre-trained.
    """

    primary: str
    pretrain_iters: int
    pretrained: list[str]

    def start_from_pretrained(self) -> None:
        """Give teachers, and students that were not pre-trained, the pre-trained weights."""


@runtime_checkable
class Ensembling(Protocol):
    """What `SMCEnsembleHook` asks of a model: the rule of alpha."""

    ensemble: nn.Module | Any
