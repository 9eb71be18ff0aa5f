"""Run-time information in the message hub, without waiting for the device."""

from mmengine.hooks import RuntimeInfoHook as MMRuntimeInfoHook

from mmssl.engine.checkpoints.history import DeviceHistory, push_scalar
from mmssl.registry import HOOKS


@HOOKS.register_module()
class RuntimeInfoHook(MMRuntimeInfoHook):
    """Do as mmengine's hook does, but leave loss terms on the device until they are read.

    The values in the log are the same. In memory each training scalar keeps its newest 1000.
    """

    def before_train(self, runner) -> None:
        """Update the resumed state and bound the timers' histories."""
        super().before_train(runner)
        for key in ('train/time', 'train/data_time'):
            buffer = runner.message_hub.log_scalars.get(key)
            if not isinstance(buffer, DeviceHistory):
                old = buffer.data if buffer is not None else ((), ())
                runner.message_hub.log_scalars[key] = DeviceHistory(*old)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Update the iteration and the learning rates."""
        runner.message_hub.update_info('iter', runner.iter)
        for name, values in runner.optim_wrapper.get_lr().items():
            push_scalar(runner.message_hub, f'train/{name}', values[0])

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Record the terms of the loss."""
        for key, value in (outputs or {}).items():
            push_scalar(runner.message_hub, f'train/{key}', value)
