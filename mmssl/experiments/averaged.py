"""Means of a run's checkpoints: how they are made, measured and written."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmssl.evaluation.label_free import RANK, RANKED, mean_share_beaten, rule_values
from mmssl.experiments.kept_run import KeptRun
from mmssl.utils.errors import SettingError

MEANS = {
    'swa': 'equal mean of the newer half of the checkpoints',
    'ema': 'exponential mean of all, with a memory of a quarter of the training',
    'soup': 'mean of those that agreement adds one by one, the best first',
}
STATISTICS = ('recompute', 'average')


def build_mean(run: KeptRun, by: str, statistics: str = 'recompute') -> tuple[dict, list[int]]:
    """Put a mean of checkpoints into the run's model.

    Args:
        run: the run; a soup needs its checkpoints measured.
        by: one of `MEANS`.
        statistics: those of normalisation layers: `recompute` them on training images, see
            `mmssl.engine.averaging.recompute_statistics`, or `average` them as the weights.

    Returns:
        The parameters, and the iterations of the checkpoints in it.
    """
    from mmssl.engine.averaging import equal_shares, fading_shares, greedy_soup

    if by == 'soup':
        order = soup_order(run)
        found = greedy_soup(order, lambda chosen: _worth(run, chosen, statistics))
        return _mean(run, found, equal_shares(found), statistics), sorted(found)
    iterations = run.iterations if by == 'ema' else run.last_part()
    memory = max(run.iterations) / 4
    shares = fading_shares(iterations, memory) if by == 'ema' else equal_shares(iterations)
    return _mean(run, iterations, shares, statistics), list(iterations)


def _mean(run: KeptRun, iterations: Sequence[int], shares: Sequence[float], kind: str) -> dict:
    from mmssl.engine.averaging import average, recompute_statistics

    state = average((run.state(iteration) for iteration in iterations), shares)
    run.load(state)
    if kind == 'recompute' and len(iterations) > 1:
        recompute_statistics(run.model, run.images)
    return {name: value.detach().cpu().clone() for name, value in run.model.state_dict().items()}


def soup_order(run: KeptRun) -> list[int]:
    """Return the iterations by what the mean rank says of the primary student, the best first."""
    values = rule_values(run.history(), RANK, run.students()[:1])
    return [c.iter for c in sorted(values, key=lambda c: (-values[c], -c.iter))]


def _worth(run: KeptRun, iterations: Sequence[int], statistics: str) -> float:
    """Return the mean rank of a mean among the checkpoints, without the stability."""
    from mmssl.engine.averaging import equal_shares

    if len(iterations) > 1:
        _mean(run, iterations, equal_shares(iterations), statistics)
        found: dict[str, float] = run.look().scores
    else:
        found = run.entries[f'iter_{iterations[0]}']['metrics']
    student = run.students()[0]
    names = [f'{student}/{n}' for n in RANKED if n != 'stability' and f'{student}/{n}' in found]
    others = np.array([[e['metrics'][name] for name in names] for e in run.history()])
    return float(mean_share_beaten(np.array([[found[name] for name in names]]), others)[0])


def measure_means(run: KeptRun, statistics: str = 'recompute', say: Callable = print) -> None:
    """Measure every mean of a run that is not measured yet."""
    for by in MEANS:
        name = by if statistics == 'recompute' else f'{by}_{statistics}'
        if name in run.entries:
            continue
        _, iterations = build_mean(run, by, statistics)
        scores = {'metrics': run.look().scores, **run.score()}
        run.keep(name, {**scores, 'of': iterations, 'stamp': run.all_stamps})
        say(f'{run.folder}: {name} of {iterations} measured')


def check_place(out: Path) -> None:
    """Refuse a file for a mean in whose place a checkpoint of a training would go.

    Raises:
        SettingError: the name is that of such a checkpoint, or has another ending.
    """
    from mmssl.engine.checkpoints.folder import own_name

    if own_name(out.name) or out.suffix != '.pth' or out.is_dir():
        raise SettingError(
            f'--out "{out}" must be a file NAME.pth that is not called as the checkpoints of a '
            'training are, for example mean.pth'
        )


def write_mean(run: KeptRun, by: str, out: Path, statistics: str = 'recompute') -> list[int]:
    """Write a mean as a checkpoint that test, predict and publish take; return what is in it.

    What is known of the run is that of its last checkpoint.
    """
    from mmssl.engine.checkpoints.io import atomic_save, load_checkpoint_file

    state, iterations = build_mean(run, by, statistics)
    last: Any = load_checkpoint_file(run.folder / f'iter_{run.iterations[-1]}.pth')
    about = {'by': by, 'iterations': iterations, 'statistics': statistics}
    content = {'meta': {**last['meta'], 'mean': about}, 'state_dict': state}
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic_save(content, out)
    return iterations
