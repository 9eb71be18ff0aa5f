"""MONAI's dictionary transforms in a pipeline, with the sample's own draws."""

import difflib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmssl.datasets.transforms.base import FILLS, follow_axes, sample_rng
from mmssl.registry import TRANSFORMS

MOVING = ('spatial', 'croppad')
"""MONAI's rooms of transforms that move voxels."""
NOT_MOVING = ('RandSimulateLowResolutiond',)
MOVING_TOO = ('RandSmoothDeformd', 'SmoothDeformd')


@cache
def names() -> tuple[str, ...]:
    """Return the names of MONAI's dictionary transforms, and of those that hold others."""
    import monai.transforms as library

    held = (library.MapTransform, library.Compose)
    found = (name for name, kind in vars(library).items() if inspect.isclass(kind))
    return tuple(
        name
        for name in found
        if issubclass(getattr(library, name), held)
        and not name.endswith(('Dict', 'D'))
        and name != 'MapTransform'
    )


def find(name: str) -> type:
    """Return a transform of MONAI by its name.

    Raises:
        ValueError: there is none.
    """
    import monai.transforms as library

    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        known_d = [f'{name}d'] if f'{name}d' in known else near
        hint = f'did you mean {" or ".join(known_d)}?' if known_d else 'see its documentation.'
        raise ValueError(f'MONAI has no dictionary transform "{name}"; {hint}')
    return getattr(library, name)


def moves(kind: type) -> bool:
    """Say whether a transform moves voxels, so that a mask has to go with its image."""
    name = kind.__name__
    return (_room(kind) in MOVING and name not in NOT_MOVING) or name in MOVING_TOO


def interpolates(kind: type) -> bool:
    """Say whether a transform makes values between voxels; other modes are those of padding."""
    return _room(kind) == 'spatial' and kind.__name__ not in NOT_MOVING


def _room(kind: type) -> str:
    return kind.__module__.removeprefix('monai.transforms.').partition('.')[0]


def build(cfg: Mapping[str, Any], present: Sequence[str], axes: int = 3, keys: Any = None) -> Any:
    """Build a transform of MONAI, and those that it holds, for the arrays that a sample has.

    Args:
        cfg: `transform` and its options; `transforms` may hold such configs.
        present: what the sample has of image, mask and grid.
        axes: number of axes beside the channels.
        keys: what it acts on where its config does not say; by default the image, and all where
            voxels are moved.

    Raises:
        ValueError: a name is none of MONAI's, an option does not fit, or a transform moves the
            image without its mask.
    """
    import monai.transforms as library

    options = dict(cfg)
    name = options.pop('transform')
    kind = find(name)
    own = options.pop('keys', keys)
    if issubclass(kind, library.Compose):
        held = [build(inner, present, axes, own) for inner in options.pop('transforms', ())]
        return _call(kind, transforms=held, **options)
    if own is None:
        own = ['img', 'gt', *(key for key in present if key == 'grid')] if moves(kind) else 'img'
    own = [own] if isinstance(own, str) else list(own)
    if any(key not in FILLS for key in own):
        raise ValueError(f'Monai({name}) has keys = {own}: give some of {", ".join(FILLS)}.')
    lost = [key for key in present if key not in own]
    if moves(kind) and lost:
        raise ValueError(
            f'Monai({name}) with keys = {own} moves voxels, but not those of {lost}, which would '
            'no longer lie on the image: leave keys out, so that all go together.'
        )
    known = inspect.signature(kind).parameters
    if 'mode' in known and interpolates(kind):
        linear, nearest = 'bilinear', 'nearest'
        if (
            'Zoom' in name or 'Resize' in name
        ):  # torch's "nearest" is half a voxel beside its linear
            linear, nearest = 'trilinear' if axes == 3 else 'bilinear', 'nearest-exact'
        options.setdefault('mode', [linear if key == 'img' else nearest for key in own])
    if 'allow_missing_keys' in known:  # an unlabelled sample has no mask
        options.setdefault('allow_missing_keys', True)
    return _call(kind, keys=own, **options)


def _call(kind: type, **options: Any) -> Any:
    try:
        return kind(**options)
    except (TypeError, ValueError) as error:
        raise ValueError(f'Monai({kind.__name__}) does not take these options: {error}') from None


def share_state(transform: Any, state: np.random.RandomState) -> None:
    """Let a transform and all that it holds draw from one source, one after the other.

    MONAI seeds what a transform holds with the transform's own seed. Its gate then decides with the
    same number as the first of its parameters: where the gate opens at 0.2, only the lowest fifth
    of the rotations would ever be seen.
    """
    from monai.transforms import Randomizable

    for inner in _held(transform):
        if isinstance(inner, Randomizable):
            inner.R = state


def _held(thing: Any) -> Iterator[Any]:
    """Give a transform and those among its attributes, at any depth."""
    seen, left = set(), [thing]
    while left:
        node = left.pop()
        if isinstance(node, (list, tuple)):
            left.extend(node)
        elif type(node).__module__.startswith('monai.') and id(node) not in seen:
            seen.add(id(node))
            yield node
            left.extend(getattr(node, '__dict__', {}).values())


@TRANSFORMS.register_module()
class Monai(BaseTransform):
    """Run a dictionary transform of MONAI, such as RandGaussianNoised, on an image or a volume.

    All that is random in it is drawn from the sample's generator, so runs repeat and resume
    exactly. It gets copies, channels first, and builds anew for every sample, so that nothing is
    shared between samples, threads and workers. A transform that moves voxels acts on image, mask
    and grid together, the last two to the nearest voxel unless `mode` says otherwise, and brings
    `spacing` and `affine` of a volume along; any other acts on the image. Image and mask keep
    their types.

    `Compose`, `OneOf`, `SomeOf` and `RandomOrder` take `transforms`, a list of
    dict(transform=..., ...).

    Args:
        transform: its name.
        keys: what it acts on instead, of 'img', 'gt' and 'grid'.
        **options: of the transform, such as prob.

    Raises:
        ValueError: MONAI has no such transform, an option does not fit, or voxels would be moved
            without those of the mask.

    Example of a config::

        dict(type='Monai', transform='RandAffined', prob=0.2, rotate_range=[0.5, 0.5, 0.5])
    """

    def __init__(
        self, transform: str, keys: str | Sequence[str] | None = None, **options: Any
    ) -> None:
        self.cfg = dict(options, transform=transform)
        if keys is not None:
            self.cfg['keys'] = keys
        # Faults of a config are found, and MONAI is imported, before workers are forked.
        build(self.cfg, ())

    def transform(self, results: dict) -> dict:
        """Run it on copies; put what comes out in their place.

        Raises:
            ValueError: it gives several samples, or an image that its mask no longer fits.
        """
        from monai.data import MetaTensor

        present = [key for key in FILLS if key in results]
        axes = results['img'].ndim - 1
        transform = build(self.cfg, present, axes)
        share_state(transform, np.random.RandomState(sample_rng(results).bit_generator))
        lies = placed(results)
        copies = {
            key: MetaTensor(_channels_first(results[key], axes), affine=torch.from_numpy(lies))
            for key in present
        }
        out = transform(copies)
        if isinstance(out, list):
            if len(out) != 1:
                raise ValueError(
                    f'Monai({self.cfg["transform"]}) made {len(out)} samples of one: let it make '
                    'one.'
                )
            out = out[0]
        for key in present:
            results[key] = _channels_last(out[key], results[key], axes)
        shapes = {key: results[key].shape[:axes] for key in present}
        if len(set(shapes.values())) > 1:
            raise ValueError(
                f'Monai({self.cfg["transform"]}) made arrays of different sizes, {shapes}: let it '
                'act on all of them.'
            )
        moved = getattr(out['img'], 'affine', None)
        if moved is not None and axes == 3:
            new_to_old = np.linalg.solve(lies, moved.numpy().astype(float))
            if not np.allclose(new_to_old, np.eye(4), atol=1e-6):
                follow_axes(results, new_to_old)
        return results


def placed(results: dict) -> np.ndarray:
    """Return the affine (4, 4) of the places (d, h, w) of a volume, as far as it is known."""
    affine, spacing = results.get('affine'), results.get('spacing')
    if results['img'].ndim == 4 and affine is not None:
        return np.asarray(affine, dtype=float)[:, [2, 1, 0, 3]]
    if results['img'].ndim == 4 and spacing is not None:
        return np.diag([*map(float, spacing), 1.0])
    return np.eye(4)


def _channels_first(array: np.ndarray, axes: int) -> torch.Tensor:
    """Copy an array (..., C) or (...) into a tensor (C, ...)."""
    array = np.moveaxis(array, -1, 0) if array.ndim > axes else array[None]
    return torch.from_numpy(np.array(array, order='C'))


def _channels_last(tensor: Any, like: np.ndarray, axes: int) -> np.ndarray:
    """Return a tensor (C, ...) as the array it was made of; whole numbers are rounded."""
    tensor = tensor.as_tensor() if hasattr(tensor, 'as_tensor') else torch.as_tensor(tensor)
    array = tensor.detach().numpy()
    array = np.moveaxis(array, 0, -1) if like.ndim > axes else array[0]
    if array.dtype != like.dtype and np.issubdtype(like.dtype, np.integer):
        limits = np.iinfo(like.dtype)
        array = np.rint(array).clip(limits.min, limits.max)
    return np.ascontiguousarray(array, dtype=like.dtype)
