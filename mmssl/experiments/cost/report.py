"""What was found about a step, as text and as plain values."""

from typing import Any

import torch

from mmssl.experiments.cost.cards import yardstick
from mmssl.experiments.cost.iteration import Iteration
from mmssl.experiments.cost.turns import Side, ratio
from mmssl.experiments.cost.work import Amount, WorkCounter
from mmssl.experiments.timed_pipeline import cpu_name

MIB, GIB = 2**20, 2**30


def place(device: str) -> str:
    """Name the device and what of it is used."""
    if device == 'meta':
        return 'the meta device: counted, not computed'
    name = torch.cuda.get_device_name() if device == 'cuda' else cpu_name()
    if device == 'cpu':
        name += f' ({torch.backends.cpu.get_cpu_capability()})'
    return f'{name}, {torch.get_num_threads()} threads'


def lines_of(side: Side, device: str, dtype: torch.dtype | None) -> list[str]:
    """Return what is to be said of one side."""
    work = side.work
    assert work is not None
    total, found = work.total, []
    if side.times:
        low, high = 1e3 * min(side.times), 1e3 * max(side.times)
        found.append(
            f'{1e3 * side.median:.1f} ms an iteration (median; {low:.1f} to {high:.1f}), '
            f'{"" if device == "cuda" else "tensors take "}at most {side.memory / MIB:,.0f} MiB'
        )
    else:
        found.append(f'tensors take at most {side.memory / MIB:,.0f} MiB')
    launched = '' if side.kernels is None else f', {side.kernels:,} kernels launched'
    found.append(
        f'{total.flop / 1e9:,.1f} GFLOP, {total.operations:,} operations{launched}, '
        f'{total.bytes / GIB:,.2f} GiB read and written by them'
    )
    recorded = getattr(side.step, 'recorded', None)
    if recorded is not None:
        found.append(f'{recorded} passes are repeated as CUDA graphs')
    best = yardstick(device, dtype)
    if best and side.times:
        speed = total.flop / side.median
        found.append(
            f'{speed / 1e9:,.0f} GFLOP/s, {100 * speed / best[0]:.1f} % of '
            f'{best[0] / 1e9:,.0f} GFLOP/s ({best[1]})'
        )
    return found


def parameters_line(iteration: Iteration) -> str:
    """Say how many parameters learn."""
    learn, every = iteration.parameters()
    return f'{learn:,} of {every:,} parameters learn'


def table_of(work: WorkCounter) -> list[str]:
    """Return the lines of the table of the parts, forward and backward."""
    names = list(dict.fromkeys(part for part, _ in work.rows))
    width = max([len(name) for name in names] + [6])
    head = f'{"part":<{width}}' + ''.join(
        f'{word:>14}' for word in ('operations', 'backward', 'GFLOP', 'backward', 'GiB', 'backward')
    )
    found = [head]
    for name in names:
        found.append(f'{name:<{width}}' + _cells(*work.of(name)))
    sums = [
        sum((amount for (_, back), amount in work.rows.items() if back == side), Amount())
        for side in (False, True)
    ]
    return [*found, f'{"sum":<{width}}' + _cells(*sums)]


def _cells(forward: Amount, backward: Amount) -> str:
    both = (forward, backward)
    texts = [f'{a.operations:,}' for a in both]
    texts += [f'{a.flop / 1e9:,.2f}' for a in both]
    texts += [f'{a.bytes / GIB:,.3f}' for a in both]
    return ''.join(f'{text:>14}' for text in texts)


def comparison_lines(one: Side, other: Side, device: str) -> list[str]:
    """Say how the times of two sides that took turns compare."""
    found, low, high = ratio(one.times, other.times)
    lines = [
        f'{one.name} takes {found:.3f} of the time of {other.name} (ratio of the medians, '
        f'{len(one.times)} turns each; middle half of the pairs {low:.3f} to {high:.3f}) and '
        f'{one.memory / max(other.memory, 1):.3f} of its memory'
    ]
    if device == 'cpu':
        found, low, high = ratio(one.worked, other.worked)
        lines.append(f"  of the processor's time {found:.3f} ({low:.3f} to {high:.3f})")
    return lines


def as_values(side: Side) -> dict[str, Any]:
    """Return what was found in plain values, for a file."""
    work = side.work
    assert work is not None
    parts = {
        name: {
            way: vars(amount)
            for way, amount in zip(('forward', 'backward'), work.of(name), strict=True)
        }
        for name in dict.fromkeys(part for part, _ in work.rows)
    }
    return dict(
        name=side.name,
        ms=[1e3 * seconds for seconds in side.times],
        processor_ms=[1e3 * seconds for seconds in side.worked],
        median_ms=1e3 * side.median if side.times else None,
        bytes_at_most=side.memory,
        kernels=side.kernels,
        recorded=getattr(side.step, 'recorded', None),
        **vars(work.total),
        parts=parts,
    )
