"""Check before the training that the scores which choose checkpoints will exist."""

from mmssl.utils.dist import unwrapped
from mmssl.utils.errors import SettingError, did_you_mean


def check_save_best(runner) -> None:
    """Compare every `save_best` with what the validation and the hooks will give.

    Nothing is said where a metric does not tell its scores by `score_names(students)`.

    Raises:
        SettingError: no metric gives such a score.
    """
    loop = runner.val_loop
    model = unwrapped(runner.model)
    metrics = loop.evaluator.metrics if loop is not None else []
    if not metrics or not all(hasattr(metric, 'score_names') for metric in metrics):
        return
    students = list(getattr(model, 'outputs', ()))
    hooks = [hook for hook in runner.hooks if hasattr(hook, 'score_names')]
    known = [name for one in (*metrics, *hooks) for name in one.score_names(students)]
    for hook in runner.hooks:
        keys = hook.save_keys() if hasattr(hook, 'save_keys') and hook.save_best else ()
        for key in keys:
            if students and key != 'auto' and key not in known:
                hint = did_you_mean(key, known[:8], 'the validation gives')
                raise SettingError(
                    f'save_best has "{key}", which the validation does not give; {hint}'
                )
