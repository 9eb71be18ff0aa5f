"""Any network of MONAI as a student."""

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseModule, initialize
from torch import Tensor, nn

from mmssl.models.losses.deep_supervision import with_coarse
from mmssl.registry import MODELS
from mmssl.utils.errors import UnknownComponent, UnknownOption, did_you_mean

FETCHES = ('path_or_repo_id', 'pretrained_url', 'weights')
"""Options of networks that load weights from elsewhere as they are built."""


def monai_class(name: str) -> type[nn.Module]:
    """Return a class of `monai.networks.nets`.

    Raises:
        ImportError: MONAI is not installed.
        UnknownComponent: it has no such network.
    """
    try:
        from monai.networks import nets
    except ImportError as error:
        raise ImportError(
            f'The network "{name}" is one of MONAI, which cannot be imported ({error}): '
            'pip install monai'
        ) from error
    found = getattr(nets, name, None)
    if inspect.isclass(found) and issubclass(found, nn.Module):
        return found
    known = [
        key
        for key, value in vars(nets).items()
        if inspect.isclass(value) and issubclass(value, nn.Module)
    ]
    hint = did_you_mean(name, known, 'it has')
    raise UnknownComponent(f'network "{name}" is not in monai.networks.nets; {hint}')


def side_divisors(net: nn.Module, options: Mapping[str, Any], axes: int) -> tuple[int, ...]:
    """Return what each side of a network's input must be a multiple of.

    Args:
        net: a network of MONAI.
        options: all its options, with their defaults.
        axes: of its images.

    Returns:
        For each axis the product of the network's `strides`, or what its `blocks_down` or
        `patch_size` come to; 16 where it has none of them.
    """
    factors: Any = getattr(net, 'shape_factor', None)  # of SegResNetDS
    if factors is not None:
        return tuple(int(n) for n in factors())
    if options.get('strides') is not None:
        each = [(s,) * axes if isinstance(s, int) else tuple(s) for s in options['strides']]
        return tuple(math.prod(stride[axis] for stride in each) for axis in range(axes))
    if options.get('blocks_down') is not None:
        return (2 ** (len(options['blocks_down']) - 1),) * axes
    patch = options.get('patch_size')
    if patch is not None:  # of SwinUNETR, which halves four times after its patches
        return tuple(p**5 for p in ((patch,) * axes if isinstance(patch, int) else patch))
    return (16,) * axes


@MODELS.register_module()
class MonaiNetwork(BaseModule):
    """A network of `monai.networks.nets` as a student, with its own options.

    An image whose sides the network cannot divide is padded by zeros at the ends, and its logits
    are cut back. Where a network predicts at several resolutions in training (`deep_supervision` of
    DynUNet, `dsdepth` of SegResNetDS), the coarse logits learn with the main ones, see
    `DeepSupervisionLoss`, and methods that compare several heads compare those. The tensors have
    MONAI's names behind `network.`. Weights start as MONAI initialises them.

    Args:
        network: name of the class, such as `DynUNet`, `SwinUNETR`, `UNet` or `SegResNet`.
        num_classes: channels of the logits.
        in_channels: channels of the image.
        spatial_dims: 3 for volumes, 2 for slices.
        divisor: what the sides of the image must be multiples of, one number or one for each axis;
            by default what the network's options come to.
        init_cfg: of mmengine, for other first weights.
        **options: of the network.

    Raises:
        ImportError: MONAI is not installed.
        UnknownComponent: MONAI has no such network.
        UnknownOption: the network has no such option.
        ValueError: `divisor` has numbers for another count of axes.
    """

    with_auxiliary_head = False

    def __init__(
        self,
        network: str,
        num_classes: int = 2,
        in_channels: int = 1,
        spatial_dims: int = 3,
        divisor: int | Sequence[int] | None = None,
        init_cfg: dict | None = None,
        **options: Any,
    ) -> None:
        super().__init__(init_cfg)
        made = monai_class(network)
        known = inspect.signature(made).parameters
        own = dict(
            spatial_dims=spatial_dims,
            in_channels=in_channels,
            out_channels=num_classes,
            num_classes=num_classes,
        )
        if fetched := [key for key in FETCHES if key in known]:
            raise UnknownOption(
                f'network "{network}" of MONAI fetches weights by itself ({fetched[0]}): take a '
                'network that starts from its own, such as DynUNet'
            )
        if 'pretrained' in known:  # some do by default
            options = {'pretrained': False, **options}
        for name in options:
            if name not in known or name in own:
                hint = did_you_mean(name, [key for key in known if key not in own])
                raise UnknownOption(f'network "{network}" of MONAI has no option "{name}"; {hint}')
        given = {**{key: value for key, value in own.items() if key in known}, **options}
        missing = [
            key
            for key, value in known.items()
            if value.default is value.empty and value.kind is value.POSITIONAL_OR_KEYWORD
            if key not in given
        ]
        if missing:
            raise UnknownOption(
                f'network "{network}" of MONAI needs {", ".join(missing)}: say what they are, '
                f'{missing[0]}=...'
            )
        self.network = made(**given)
        self.name, self.in_channels, self.out_channels = network, in_channels, num_classes
        used = {key: given.get(key, value.default) for key, value in known.items()}
        self.deep_supervision = bool(used.get('deep_supervision')) or used.get('dsdepth', 1) > 1
        sides = (divisor,) * spatial_dims if isinstance(divisor, int) else divisor
        self.divisors = tuple(sides or side_divisors(self.network, used, spatial_dims))
        if len(self.divisors) != spatial_dims:
            raise ValueError(
                f'divisor={divisor} of network "{network}" must be one number, or '
                f'{spatial_dims}, one for each axis'
            )

    def init_weights(self) -> None:
        """Initialise by `init_cfg`, if there is one; MONAI has initialised the network."""
        if self.init_cfg:
            initialize(self, self.init_cfg)

    def forward(self, x: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Tensor:
        """Return logits (N, num_classes, ...) at the size of the image.

        In training, those of coarser maps are beside them where the network has some.

        Args:
            x: images (N, in_channels, ...).
            data_samples: not used.
            mode: 'tensor', as of a segmentor of mmsegmentation.

        Raises:
            ValueError: another mode, or images of other channels or axes.
        """
        if mode != 'tensor':
            raise ValueError(f"MonaiNetwork knows mode='tensor' alone, found {mode!r}")
        main, *coarse = self._predict(x)
        return with_coarse(main, coarse) if coarse else main

    def forward_all(self, x: Tensor) -> list[Tensor]:
        """Return the logits of all resolutions, the main ones first, each at its own size."""
        return self._predict(x)

    def _predict(self, x: Tensor) -> list[Tensor]:
        axes = len(self.divisors)
        if x.dim() != axes + 2 or x.shape[1] != self.in_channels:
            raise ValueError(
                f'MonaiNetwork "{self.name}" takes images of {self.in_channels} channels and '
                f'{axes} axes, got {tuple(x.shape)}: set in_channels and spatial_dims'
            )
        size = x.shape[2:]
        missing = [-side % divisor for side, divisor in zip(size, self.divisors, strict=True)]
        if any(missing):
            x = F.pad(x, [n for gap in reversed(missing) for n in (0, gap)])
        logits = self._outputs(x)
        main = logits[0]
        if main.shape[2:] != x.shape[2:]:
            raise ValueError(
                f'network "{self.name}" of MONAI gives {tuple(main.shape)} for images '
                f'{tuple(x.shape)}: it does not segment, or its first stride is not 1'
            )
        if not any(missing):
            return logits
        return [_cut(z, size, x.shape[2:]) for z in logits]

    def _outputs(self, x: Tensor) -> list[Tensor]:
        """Return the logits of all resolutions of images that the network divides."""
        if self.deep_supervision and hasattr(self.network, 'skip_layers'):  # DynUNet
            net: Any = self.network
            before = list(net.heads)
            main = net.output_block(net.skip_layers(x))
            coarse = list(net.heads) if self.training else []  # before it enlarges them
            net.heads[:] = before  # which would keep the graph
            return [main, *coarse]
        found = self.network(x)
        if isinstance(found, list | tuple):
            return list(found) if self.training else list(found[:1])
        return [found]

    def __getattr__(self, name: str) -> Any:
        """Say what to choose where a method looks into a segmentor of mmsegmentation."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name not in ('backbone', 'decode_head', 'extract_feat'):
                raise
            raise AttributeError(
                f'A network of MONAI has no {name}: this method looks into its student, so give it '
                'an EncoderDecoder, such as VNetEncoder with VNetDecoderHead'
            ) from None


def _cut(z: Tensor, size: Sequence[int], padded: Sequence[int]) -> Tensor:
    """Return logits without the padding, a coarse voxel that is partly inside included."""
    for axis, (side, whole) in enumerate(zip(size, padded, strict=True), 2):
        z = z.narrow(axis, 0, math.ceil(side * z.shape[axis] / whole))
    return z
