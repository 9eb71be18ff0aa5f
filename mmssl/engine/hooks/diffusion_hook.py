"""What a diffusion model in training shows and leaves behind: samples and a folder of diffusers."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from torch import Tensor

from mmssl.registry import HOOKS

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel

    from mmssl.models.methods.ddpm import DDPM


@HOOKS.register_module()
class DiffusionHook(Hook):
    """Draw a grid of samples and save the averaged weights, every so often and at the end.

    Both come from the EMA model. The samples go to `<work_dir>/samples/iter_XXXXXX.png`, always
    from the same noise, so that the pictures of a run can be compared; the weights go to
    `<work_dir>/unet`, in the format of diffusers (see `mmssl.models.diffusion.unet`). Random
    states and modes are left as they were, so a training with this hook is the one without.

    Only the main process works; the others go on and wait for it at their next exchange of
    gradients. Drawing must take less than `env_cfg.dist_cfg.timeout`.

    Args:
        interval: iterations between two times; 0 only at the end.
        num: images in the grid; 0 draws none.
        steps: time steps of the DDIM sampler.
        batch_size: images drawn at once.
        seed: seed of the noise.
        folder: folder of the weights in the work dir.
    """

    priority = 'LOW'  # after the EMA has moved

    def __init__(
        self,
        interval: int = 5000,
        num: int = 16,
        steps: int = 50,
        batch_size: int = 16,
        seed: int = 0,
        folder: str = 'unet',
    ) -> None:
        self.interval, self.num, self.steps = interval, num, steps
        self.batch_size, self.seed, self.folder = batch_size, seed, folder

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Draw and save where it is time.

        Raises:
            FloatingPointError: the averaged weights are not finite; the older ones stay.
            OSError: the last weights cannot be written (earlier ones only give a warning).
        """
        last = self.is_last_train_iter(runner)
        due = self.interval > 0 and self.every_n_train_iters(runner, self.interval)
        if not (last or due) or not is_main_process():
            return
        model = runner.bare_model
        unet = model.teachers['denoiser']
        if not all(torch.isfinite(p).all() for p in unet.parameters()):
            raise FloatingPointError(
                f'The averaged weights of the diffusion model are NaN or infinite at iteration '
                f'{runner.iter + 1}; {self.folder} in the work dir keeps the ones before. Lower '
                'the learning rate or clip the gradients'
            )
        try:
            self._save(runner, model, unet)
            self._draw(runner, model, unet)
        except OSError as error:
            if last:
                raise
            runner.logger.warning(f'The diffusion model or its samples were not written: {error}')

    def _save(self, runner, model: 'DDPM', unet: 'UNet2DModel') -> None:
        from mmssl.models.diffusion.unet import save_unet

        save_unet(
            unet,
            Path(runner.work_dir) / self.folder,
            dict(
                input_range=list(model.input_range),
                image_size=unet.config['sample_size'],
                num_train_timesteps=model.num_train_timesteps,
                prediction_type='epsilon',
                iterations=runner.iter + 1,
            ),
        )

    def _draw(self, runner, model: 'DDPM', unet: 'UNet2DModel') -> None:
        from mmssl.engine.looking import untouched
        from mmssl.visualization.overlay import write_image

        if self.num < 1:
            return
        with untouched(unet):
            images = self.sample(unet, model.schedule)
        path = Path(runner.work_dir) / 'samples' / f'iter_{runner.iter + 1:06d}.png'
        write_image(path, image_grid(images, model.input_range))

    def sample(self, unet: 'UNet2DModel', schedule) -> Tensor:
        """Return `num` images (N, C, S, S), on the CPU."""
        from mmssl.models.diffusion.sampling import ddim_sample

        side, channels = unet.config['sample_size'], unet.config['in_channels']
        noise = torch.randn(
            self.num, channels, side, side, generator=torch.Generator().manual_seed(self.seed)
        )
        parts = [
            ddim_sample(unet, part.to(unet.device), schedule, self.steps).cpu()
            for part in noise.split(self.batch_size)
        ]
        return torch.cat(parts)


def image_grid(images: Tensor, input_range: tuple[float, float], gap: int = 2) -> np.ndarray:
    """Return images (N, 1 or 3, S, S) side by side as one RGB picture, uint8 (H, W, 3).

    Args:
        images: float images.
        input_range: values shown as black and white.
        gap: pixels between two images.
    """
    low, high = input_range
    grey = ((images.float() - low) / (high - low) * 255).round().clamp(0, 255)
    shown = grey.to(torch.uint8).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
    columns = math.ceil(math.sqrt(len(shown)))
    rows = math.ceil(len(shown) / columns)
    height, width = shown.shape[1] + gap, shown.shape[2] + gap
    grid = np.zeros((rows * height - gap, columns * width - gap, 3), np.uint8)
    for number, image in enumerate(shown):
        top, left = number // columns * height, number % columns * width
        grid[top : top + image.shape[0], left : left + image.shape[1]] = image
    return grid
