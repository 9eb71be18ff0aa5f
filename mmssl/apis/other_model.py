"""Another trained model as a part of a model."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmssl.apis.inference import inference_model, init_model
from mmssl.bundles.archive import is_bundle
from mmssl.registry import MODELS


@MODELS.register_module()
class OtherModel:
    """Ask a trained model of mmssl what it sees in images, prepared as its own config says.

    It is no `torch.nn.Module`, so that it is no part of the state of the model that asks it.

    Args:
        config: config file of the model, or a bundle.
        checkpoint: its weights; None of a bundle, which brings them.
        device: where it runs.

    Raises:
        ValueError: it has no weights.
    """

    def __init__(
        self, config: str, checkpoint: str | None = None, device: str | torch.device = 'cpu'
    ) -> None:
        if checkpoint is None and not is_bundle(config):
            raise ValueError(
                f'The other model "{config}" has no weights: name its checkpoint, or a bundle '
                '(.mmssl) as its config.'
            )
        self.model = init_model(config, checkpoint, device)

    def __call__(self, images: Sequence[Tensor]) -> list:
        """Return a data sample with `pred_sem_seg` for each image (C, H, W), uint8."""
        return inference_model(self.model, [x.permute(1, 2, 0).cpu().numpy() for x in images])
