"""Which precision to compute in: half where the device does it well, else float32.

A CPU without instructions for bfloat16 emulates it, tens of times slower than float32. So half
precision on a CPU is a wish, `half`, that is granted where a check and a short measurement find it
faster; `bfloat16` by name is an order, carried out with a warning where it is slow.
"""

import logging
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache

import torch
from mmengine.device import is_cuda_available
from mmengine.logging import print_log

NAMES = {'float32': None, 'float16': torch.float16, 'bfloat16': torch.bfloat16}
# What may be asked for. True and False are mmengine's values of `fp16` in val_cfg and test_cfg.
WISHES = (None, False, True, 'auto', 'half', *NAMES)
BEARABLE = 2.0  # slower than this in bfloat16, a resumed run goes over to float32


@dataclass(frozen=True)
class Precision:
    """A precision and the reason for it.

    Args:
        name: `float32`, `float16` or `bfloat16`.
        why: the reason, as part of a sentence.
        wish: what was asked for.
        device: type of the device, `cpu` or `cuda`.
    """

    name: str
    why: str
    wish: str | bool | None
    device: str

    @property
    def dtype(self) -> torch.dtype | None:
        """The type of numbers under autocast; None for float32."""
        return NAMES[self.name]

    def autocast(self) -> AbstractContextManager:
        """Return a context in which the forward pass is computed in this precision."""
        return torch.autocast(self.device, dtype=self.dtype, enabled=self.dtype is not None)

    def resumed(self, saved: str | None) -> 'Precision':
        """Return the precision of a run that goes on from a checkpoint trained in `saved`.

        A wish keeps the checkpoint's precision, so that the run goes on exactly, unless that is
        slow here. Whatever differs is said.
        """
        if saved is None or saved == self.name:
            return self
        if self.wish == 'half' and self.device == 'cpu' and saved in ('float32', 'bfloat16'):
            if saved == 'float32' or _everywhere(has_bfloat16() and slowness() < BEARABLE):
                kept = Precision(saved, 'the run began in it', self.wish, self.device)
                print_log(f'Precision of training: {saved}, as in the checkpoint; a new run would '
                          f'take {self.name}: {self.why}', 'current')  # fmt: skip
                return kept
        print_log(
            f'The checkpoint was trained in {saved}, training goes on in {self.name} ({self.why}), '
            'so it does not go on bit for bit; optim_wrapper.dtype chooses the precision',
            'current', logging.WARNING,
        )  # fmt: skip
        return self


def choose(
    wish: str | bool | None,
    what: str = 'training',
    option: str = 'optim_wrapper.dtype',
    device: str | None = None,
) -> Precision:
    """Choose a precision, and say in the log what was chosen and why.

    With several processes every one has to call this, for `half` on a CPU is taken only if all
    CPUs do it well.

    Args:
        wish: `half` or True (float16 on CUDA; on a CPU bfloat16 where that is faster than float32),
            `auto` (float16 on CUDA, float32 on a CPU), `float32`, False or None, `bfloat16`, or
            `float16` (CUDA only).
        what: what is computed, for the log.
        option: where the wish was made, for errors.
        device: type of the device; None takes CUDA if there is any.

    Raises:
        ValueError: an unknown wish, or float16 on a CPU.
    """
    if wish not in WISHES:
        known = ', '.join(map(repr, WISHES))
        raise ValueError(f'{option} is {wish!r}; known are {known}')
    device = device or ('cuda' if is_cuda_available() else 'cpu')
    if wish in (None, False, 'float32'):
        name, why = 'float32', 'half precision is not asked for'
    elif wish == 'float16' and device == 'cpu':
        raise ValueError(
            f'{option}="float16" needs a CUDA device; use {option.rpartition(".")[2]}="bfloat16" '
            'or "half" here'
        )
    elif device != 'cpu':
        name, why = ('bfloat16' if wish == 'bfloat16' else 'float16'), f'{wish!r} is asked for'
    elif wish == 'auto':
        name, why = 'float32', '"auto" is that on a CPU; --amp or "half" asks for half precision'
    elif wish == 'bfloat16':
        name, why = 'bfloat16', 'it is asked for by name'
        _warn_if_slow()
    else:
        name, why = _half_on_cpu()
    print_log(f'Precision of {what}: {name}: {why}', 'current')
    return Precision(name, why, 'half' if wish is True else wish, device)


def _half_on_cpu() -> tuple[str, str]:
    if not _everywhere(has_bfloat16()):
        return 'float32', 'this CPU has no instructions for bfloat16 and would emulate it slowly'
    factor = slowness()
    if _everywhere(factor < 1):
        return 'bfloat16', f'this CPU computes it {1 / factor:.1f} times as fast as float32'
    return 'float32', f'bfloat16 is no faster on this CPU (measured: {factor:.1f} times the time)'


@cache
def _warn_if_slow() -> None:
    factor = slowness()
    if factor > 1.5:
        print_log(
            f'bfloat16 is asked for by name, but takes {factor:.0f} times as long as float32 on '
            'this CPU (a convolution with its backward pass, measured just now); "half" or --amp '
            'would take float32 here', 'current', logging.WARNING,
        )  # fmt: skip


def has_bfloat16() -> bool:
    """Tell whether oneDNN computes bfloat16 on this CPU without emulating it by float32."""
    check = getattr(torch.ops.mkldnn, '_is_mkldnn_bf16_supported', None)
    return torch.backends.mkldnn.is_available() and check is not None and bool(check())


@cache
def slowness() -> float:
    """Measure how many times longer a 3 x 3 convolution takes in bfloat16 than in float32.

    Forward and backward on one thread, the best of three, in turns, in time of that thread, which
    other programs do not change much; 0.1 s where bfloat16 is fast, a second where it is emulated.
    The check alone is not enough: it is true with AVX-512 alone, where bfloat16 takes two to four
    times as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = _convolution_times()
    finally:
        torch.set_num_threads(threads)
    return times[True] / times[False]


def _convolution_times() -> dict[bool, float]:
    """Return the seconds in float32 (False) and in bfloat16 (True)."""
    best = {False: float('inf'), True: float('inf')}
    with torch.inference_mode(False), torch.enable_grad():
        image = torch.linspace(-1, 1, 2 * 64 * 32 * 32).reshape(2, 64, 32, 32).requires_grad_()
        weight = torch.linspace(-1, 1, 64 * 64 * 9).reshape(64, 64, 3, 3).requires_grad_()
        for turn in range(4):
            for half in best:
                start = time.thread_time()
                with torch.autocast('cpu', dtype=torch.bfloat16, enabled=half):
                    out = torch.nn.functional.conv2d(image, weight, padding=1)
                torch.autograd.grad(out.float().sum(), (image, weight))
                if turn:  # the first prepares the kernels
                    best[half] = min(best[half], time.thread_time() - start)
    return best


def _everywhere(holds: bool) -> bool:
    """Tell whether something holds on every rank."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return holds
    flag = torch.tensor(int(holds))
    dist.all_reduce(flag, dist.ReduceOp.MIN)
    return bool(flag)
