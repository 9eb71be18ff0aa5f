"""SAM's image encoder with bottleneck adapters, as KnowSAM and SC-SAM train it."""

from typing import Any

import torch
from torch import Tensor

from mmssl.models.sam.bottleneck_adapters import adapt_encoder
from mmssl.models.sam.lora_medsam import LoRAMedSAM
from mmssl.models.sam.sam_vit import RelativePosition
from mmssl.registry import MODELS


@MODELS.register_module()
class AdapterMedSAM(LoRAMedSAM):
    """Image encoder of SAM, MedSAM or LiteMedSAM whose adapters alone train.

    Adapters: Wu et al., Medical SAM Adapter, https://arxiv.org/abs/2304.12620, as the code of
    KnowSAM has them: one after the attention and one beside the MLP of every block
    (`bottleneck_adapters`). All else is as in `LoRAMedSAM`: the trunk is frozen, shared by copies,
    and in a state dict only by its fingerprint. They are not linear, and no export merges them.

    Args:
        arch: as in `LoRAMedSAM`.
        img_size: as in `LoRAMedSAM`.
        ratio: of the channels in the middle of an adapter to the block's.
        released_quirks: as the released code of KnowSAM, leave out SAM's relative positions, fill
            the last windows up before the first norm and not behind it, and start the adapters at
            random; by default nothing of SAM is changed and they start at zero.
        **options: of `LoRAMedSAM` but `rank`, `targets` and `lora_blocks`.

    Raises:
        ValueError: `released_quirks` with another attention than `plain`.
    """

    without_adapters: dict[str, Any] = {}
    """It cannot be built without them."""

    def __init__(
        self,
        arch: str | dict = 'vit_b',
        img_size: int = 512,
        ratio: float = 0.25,
        released_quirks: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(arch, img_size, 0, **options)
        if released_quirks and options.get('attention', 'plain') != 'plain':
            raise ValueError(
                "released_quirks needs attention='plain', whose windows it cuts, found "
                f'{options["attention"]!r}'
            )
        self.released_quirks = released_quirks
        adapt_encoder(self.trunk, ratio, zero=not released_quirks)
        self.train(self.training)

    @torch.no_grad()
    def _fill_trunk(self, raw: bytes) -> None:
        super()._fill_trunk(raw)
        if self.released_quirks:
            for module in self.trunk.modules():
                if isinstance(module, RelativePosition):
                    for table in module.parameters():
                        table.zero_()

    def _run(self, block: Any, x: Tensor) -> Tensor:
        """Run a block of the trunk."""
        if not self.released_quirks or self.is_lite or not block.attn.window:
            return super()._run(block, x)
        from segment_anything.modeling.image_encoder import window_partition, window_unpartition

        windows, padded = window_partition(x, block.attn.window)
        windows = block.attn(block.norm1(windows))
        x = x + window_unpartition(windows, block.attn.window, padded, x.shape[1:3])
        changed: Tensor = x + block.mlp(block.norm2(x))
        return changed
