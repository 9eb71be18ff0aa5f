"""Curves and pictures on the disk and for TensorBoard, whose loss ends no training."""

import importlib.util
import logging
import sys
import threading

from mmengine.logging import MMLogger, print_log
from mmengine.visualization import BaseVisBackend, TensorboardVisBackend
from mmengine.visualization import LocalVisBackend as MMLocalVisBackend

from mmssl.registry import VISBACKENDS


class _Forgiving(BaseVisBackend):
    """A backend whose files may fail: said once for each failure that begins, then tried again."""

    _broken = False

    def _try(self, name: str, *args, **kwargs) -> None:
        try:
            getattr(super(), name)(*args, **kwargs)
            self._broken = False
        except (OSError, RuntimeError) as error:
            if not self._broken:
                what = getattr(error, 'strerror', None) or error
                print_log(
                    f'{type(self).__name__} could not write to {self._save_dir}: {what}; the '
                    'training goes on, its curves have a gap',
                    'current',
                    logging.WARNING,
                )
            self._broken = True

    def add_config(self, config, **kwargs) -> None:
        """Write the config."""
        self._try('add_config', config, **kwargs)

    def add_graph(self, model, data_batch, **kwargs) -> None:
        """Write the graph of the model."""
        self._try('add_graph', model, data_batch, **kwargs)

    def add_image(self, name, image, step=0, **kwargs) -> None:
        """Write an image (H, W, C)."""
        self._try('add_image', name, image, step, **kwargs)

    def add_scalar(self, name, value, step=0, **kwargs) -> None:
        """Write a number."""
        self._try('add_scalar', name, value, step, **kwargs)

    def add_scalars(self, scalar_dict, step=0, file_path=None, **kwargs) -> None:
        """Write several numbers."""
        self._try('add_scalars', scalar_dict, step, file_path, **kwargs)

    def close(self) -> None:
        """Close the files."""
        self._try('close')


@VISBACKENDS.register_module()
class LocalVisBackend(_Forgiving, MMLocalVisBackend):
    """Write curves and pictures to the work folder.

    A full disk tears a line; the next one begins anew, so that one line is lost and not two.
    """

    _torn = False

    def _dump(self, value_dict: dict, file_path: str, file_format: str) -> None:
        torn, self._torn = self._torn, True
        if torn:
            with open(file_path, 'a') as file:
                file.write('\n')
        super()._dump(value_dict, file_path, file_format)
        self._torn = False


@VISBACKENDS.register_module()
class OptionalTensorboardVisBackend(_Forgiving, TensorboardVisBackend):
    """Write to TensorBoard if it is installed; if not, say so once and write nothing.

    Args:
        save_dir: folder of the event files.
    """

    def __init__(self, save_dir: str):
        super().__init__(save_dir)
        self.available = importlib.util.find_spec('tensorboard') is not None
        if not self.available:
            print_log('TensorBoard is not installed (pip install tensorboard): no event files')
        _silence_writer()

    def _try(self, name: str, *args, **kwargs) -> None:
        if not self.available:
            return
        super()._try(name, *args, **kwargs)
        # Its writing thread has died with the first failure.
        self.available = not self._broken


def _silence_writer() -> None:
    """Keep the traceback of TensorBoard's writing thread, whose error comes with the next call."""
    before = threading.excepthook
    if before.__module__ == __name__:
        return

    def hook(args) -> None:
        if type(args.thread).__name__ != '_AsyncWriterThread':
            before(args)

    threading.excepthook = hook


def forgive_log(logger: MMLogger) -> None:
    """Let a log file that cannot be written cost one line and no traceback."""
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handleError = _say_once(handler)  # type: ignore[method-assign]


def _say_once(handler: logging.FileHandler):
    said: list[OSError] = []

    def handle(record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            logging.Handler.handleError(handler, record)
        elif not said:
            said.append(error)
            print(
                f'warning: the log {handler.baseFilename} could not be written: '
                f'{error.strerror or error}; the training goes on',
                file=sys.stderr,
                flush=True,
            )

    return handle
