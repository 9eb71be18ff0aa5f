"""The teachers' exponential moving average: the one place where a teacher moves."""

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from mmssl.registry import HOOKS
from mmssl.utils.dist import unwrapped


@HOOKS.register_module()
class EMATeacherHook(Hook):
    """Move every teacher towards its student after each iteration.

    `teacher = alpha teacher + (1 - alpha) student`, `alpha = min(1 - 1 / (t + 1), momentum)` and t
    counted from 0, so that the first iteration copies the student. Source: Tarvainen and Valpola,
    Mean teachers, https://arxiv.org/abs/1703.01780.

    Parameters are paired by name; a frozen trunk, which student and teacher share, does not move.

    Args:
        momentum: the largest alpha.
        warm_up: let alpha grow from 0; otherwise it is `momentum` from the start.
        buffers: `keep` leaves a teacher's buffers (BatchNorm statistics) to its own forward
            passes, `copy` takes the student's, `ema` averages them as the parameters.
        mode: `train` lets the teachers use batch statistics and dropout, as the released codes
            do; `eval` does not.

    Raises:
        ValueError: if an option has another value, or the model has no teacher.
        KeyError: if a teacher lacks a parameter of its student.
    """

    priority = 'NORMAL'

    def __init__(
        self,
        momentum: float = 0.99,
        warm_up: bool = True,
        buffers: str = 'keep',
        mode: str = 'train',
    ) -> None:
        if buffers not in ('keep', 'copy', 'ema'):
            raise ValueError(f"buffers must be 'keep', 'copy' or 'ema', found {buffers!r}")
        if mode not in ('train', 'eval'):
            raise ValueError(f"mode must be 'train' or 'eval', found {mode!r}")
        if not 0 <= momentum < 1:
            raise ValueError(f'momentum must lie in [0, 1), found {momentum}')
        self.momentum = momentum
        self.warm_up = warm_up
        self.buffers = buffers
        self.mode = mode

    def before_train(self, runner) -> None:
        """Pair the tensors of teachers and students."""
        self.pair(runner.model)

    def pair(self, model: nn.Module) -> None:
        """Collect the tensors that move; every teacher needs a student of the same name."""
        model = unwrapped(model)
        self.teachers = getattr(model, 'teachers', nn.ModuleDict())
        if not len(self.teachers):
            raise ValueError(
                'EMATeacherHook found no teacher in the model: name the students that have one '
                "in `model.teachers`, e.g. teachers=['unet'], or remove the hook"
            )
        self.moving: tuple[list[Tensor], list[Tensor]] = ([], [])
        self.copied: tuple[list[Tensor], list[Tensor]] = ([], [])
        students = model.get_submodule('students')
        for name, teacher in self.teachers.items():
            self._pair_one(name, students.get_submodule(name), teacher)

    def _pair_one(self, name: str, student: nn.Module, teacher: nn.Module) -> None:
        theirs: dict[str, Tensor] = dict(teacher.named_parameters())
        for key, value in student.named_parameters():
            if key not in theirs:
                raise KeyError(f'teacher "{name}" has no parameter "{key}" of its student')
            if theirs[key] is not value:
                _append(self.moving, theirs[key], value)
        if self.buffers == 'keep':
            return
        theirs = dict(teacher.named_buffers())
        for key, buffer in student.named_buffers():
            if theirs[key] is not buffer:
                ema = self.buffers == 'ema' and buffer.is_floating_point()
                _append(self.moving if ema else self.copied, theirs[key], buffer)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Put the teachers into their mode, whatever the training loop called before."""
        self.set_mode()

    def set_mode(self) -> None:
        """Put the teachers into `mode`."""
        self.teachers.train(self.mode == 'train')

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Move the teachers; iteration t is the one just done."""
        self.update(runner.iter)

    def alpha(self, iteration: int) -> float:
        """Return the weight of the old teacher at `iteration`, counted from 0.

        Example:
            >>> hook = EMATeacherHook()
            >>> hook.alpha(0), hook.alpha(1), hook.alpha(500)
            (0.0, 0.5, 0.99)
        """
        return min(1 - 1 / (iteration + 1), self.momentum) if self.warm_up else self.momentum

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """Move all teachers once."""
        teachers, students = self.moving
        torch._foreach_lerp_(teachers, students, 1 - self.alpha(iteration))
        if self.copied[0]:
            torch._foreach_copy_(*self.copied)


def _append(lists: tuple[list[Tensor], list[Tensor]], teacher: Tensor, student: Tensor) -> None:
    if teacher.shape != student.shape:
        raise ValueError(
            f'teacher and student differ in shape: {tuple(teacher.shape)}, {tuple(student.shape)}'
        )
    lists[0].append(teacher)
    lists[1].append(student)
