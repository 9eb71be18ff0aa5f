"""TensorBoard where it is installed."""

import importlib.util

from mmengine.logging import print_log
from mmengine.visualization import TensorboardVisBackend

from mmssl.registry import VISBACKENDS


@VISBACKENDS.register_module()
class OptionalTensorboardVisBackend(TensorboardVisBackend):
    """Write to TensorBoard if it is installed; if not, say so once and write nothing.

    Args:
        save_dir: folder of the event files.
    """

    def __init__(self, save_dir: str):
        super().__init__(save_dir)
        self.available = importlib.util.find_spec('tensorboard') is not None
        if not self.available:
            print_log('TensorBoard is not installed (pip install tensorboard): no event files')

    def add_config(self, config, **kwargs) -> None:
        """Write the config."""
        if self.available:
            super().add_config(config, **kwargs)

    def add_image(self, name, image, step=0, **kwargs) -> None:
        """Write an image (H, W, C)."""
        if self.available:
            super().add_image(name, image, step, **kwargs)

    def add_scalar(self, name, value, step=0, **kwargs) -> None:
        """Write a number."""
        if self.available:
            super().add_scalar(name, value, step, **kwargs)

    def add_scalars(self, scalar_dict, step=0, file_path=None, **kwargs) -> None:
        """Write several numbers."""
        if self.available:
            super().add_scalars(scalar_dict, step, file_path, **kwargs)

    def close(self) -> None:
        """Close the file."""
        if self.available:
            super().close()
