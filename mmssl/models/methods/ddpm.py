"""A denoising diffusion model on images without labels: the first stage of MCSD."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmssl.models.diffusion.unet import noise_schedule
from mmssl.registry import MODELS
from mmssl.structures import Step


@MODELS.register_module()
class DDPM(BaseModel):
    """Denoising diffusion probabilistic model with the simple epsilon loss.

    Ho et al., Denoising Diffusion Probabilistic Models, NeurIPS 2020,
    https://arxiv.org/abs/2006.11239, equation 14.

    With x in `input_range`, t uniform in 0 .. T - 1 and eps ~ N(0, 1), for each image its own:
    `x_t = sqrt(abar_t) x + sqrt(1 - abar_t) eps`, `L = mean (eps_theta(x_t, t) - eps)^2`.

    The images are the view `u_w` of the batch. The network is the student `denoiser`;
    `EMATeacherHook` keeps its average, the teacher of the same name, from which `DiffusionHook`
    draws samples and which it saves in the format of diffusers.

    Args:
        unet: config of the network, `GuidedDiffusionUNet`.
        num_train_timesteps: T.
        input_range: grey values 0 and 255 become these.
        zero_init: let every residual branch and the output start at zero, as in guided-diffusion.
        data_preprocessor: further options of `SemiDataPreprocessor`.
    """

    step = Step()
    phases = 1
    outputs: Sequence[str] = ()

    def __init__(
        self,
        unet: dict[str, Any],
        num_train_timesteps: int = 1000,
        input_range: Sequence[float] = (-1.0, 1.0),
        zero_init: bool = True,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        low, high = input_range
        if not low < high:
            raise ValueError(f'input_range must be (low, high), low < high; found {input_range}')
        scale = 255 / (high - low)
        preprocessor = dict(
            type='SemiDataPreprocessor',
            students=['denoiser'],
            mean=-low * scale,
            std=scale,
            **(data_preprocessor or {}),
        )
        super().__init__(MODELS.build(preprocessor), init_cfg)
        denoiser = MODELS.build(unet)
        self.students = nn.ModuleDict(dict(denoiser=denoiser))
        self.teachers = nn.ModuleDict(dict(denoiser=copy.deepcopy(denoiser)))
        self.teachers.requires_grad_(False)
        self.input_range = (float(low), float(high))
        self.num_train_timesteps = num_train_timesteps
        self.zero_init = zero_init
        self.schedule = noise_schedule(num_train_timesteps)

    def check_data(self, metainfo: Mapping[str, Any]) -> None:
        """Accept any data set: masks are not looked at."""

    @torch.no_grad()
    def init_weights(self) -> None:
        """Set the residual branches to zero where asked for; the average starts as the network."""
        denoiser = self.students['denoiser']
        if self.zero_init:
            for last in _last_layers(denoiser):
                last.weight.zero_()
                last.bias.zero_()
        self.teachers['denoiser'].load_state_dict(denoiser.state_dict())
        self._is_init = True

    def forward(
        self, inputs: Mapping[str, Any], data_samples: Any = None, mode: str = 'loss'
    ) -> dict[str, Tensor]:
        """Return the loss; a diffusion model has nothing to predict.

        Raises:
            ValueError: if `mode` is not 'loss', or the batch has no view `u_w`.
        """
        if mode != 'loss':
            raise ValueError(
                f"DDPM is only trained (mode='loss'), found mode={mode!r}; see "
                'DiffusionHook for its samples'
            )
        if 'u_w' not in inputs:
            raise ValueError(
                f'DDPM needs the view u_w, the batch has {sorted(inputs)}; use '
                'labelled=dict(num=0) and SemiSampler(num_labelled=0)'
            )
        return self.loss(inputs['u_w']['denoiser'])

    def loss(self, x: Tensor) -> dict[str, Tensor]:
        """Return `loss` of images x (N, C, S, S) in `input_range`."""
        t = torch.randint(0, self.num_train_timesteps, (len(x),), device=x.device)
        eps = torch.randn_like(x)
        x_t = self.schedule.add_noise(x, eps, t)
        eps_theta = self.students['denoiser'](x_t, t).sample
        return dict(loss=nn.functional.mse_loss(eps_theta.float(), eps))


def _last_layers(unet: Any) -> list[Any]:
    """Return the layers that guided-diffusion starts at zero."""
    resnets = [m.conv2 for m in unet.modules() if hasattr(m, 'conv2')]
    attentions = [m.to_out[0] for m in unet.modules() if hasattr(m, 'to_out')]
    return [*resnets, *attentions, unet.conv_out]
