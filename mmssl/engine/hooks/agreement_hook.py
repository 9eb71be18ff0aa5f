"""Choose checkpoint and student without a label of the unlabelled domains."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook

from mmssl.engine.checkpoints.hook import TO_BEAT
from mmssl.engine.label_free import UnlabelledImages
from mmssl.evaluation.label_free import RANK, RANKED, RULES, SCORES, Candidate, follow, usable_rule
from mmssl.registry import HOOKS
from mmssl.utils.config.selection import AGREEMENT
from mmssl.utils.dist import unwrapped

HISTORY, MASKS, CHOICE = 'agreement_history', 'agreement_masks', 'agreement_choice'
"""Where the message hub has the evaluations, the newest masks, and what is chosen."""


@HOOKS.register_module()
class AgreementHook(Hook):
    """Measure the students on unlabelled training images at every evaluation, and choose.

    A fixed choice of unlabelled training images is shown to all students and teachers as in a
    test, and `mmssl.evaluation.label_free.SCORES` are taken of it: agreement of student and
    teacher, of the students, calibrated confidence, certainty, and stability since the last
    evaluation. They are logged beside the scores of the evaluation as `<student>/<name>`, and
    `<student>/agreement` and `agreement` are what the rule says. Neither a mask of an unlabelled
    image nor anything of the test set is read; labelled training images set the temperature.

    The best candidate so far, whose file `CheckpointHook` keeps, is compared with every new
    evaluation by the rule over all evaluations until then: for each student by itself, and among
    all students. With `val_evaluator.selection='agreement'` the hook is there by itself, and what
    it chooses is reported; otherwise it only measures.

    History, choice and masks are in every checkpoint, so that a resumed run chooses the same.

    Args:
        rule: one of `mmssl.evaluation.label_free.RULES`: a score, or `rank`, the mean rank in those
            of `RANKED` that a method has. A method without such a score (no teacher, one student)
            is judged by `rank`, which the log says.
        num_images: unlabelled images, evenly over the domains; None takes 32, or 4 of volumes.
        num_labelled: labelled images for the temperature; None takes half as many.
        batch_size: images in one forward pass.
        max_history: evaluations kept; beyond it the oldest go, chosen ones excepted.

    Raises:
        ValueError: the rule is unknown.
    """

    priority = 'HIGHEST'  # what is added to the scores is seen by all that log them

    def __init__(
        self,
        rule: str = RANK,
        num_images: int | None = None,
        num_labelled: int | None = None,
        batch_size: int = 8,
        max_history: int = 1000,
    ) -> None:
        if rule not in RULES:
            raise ValueError(f'rule={rule!r} is unknown; choose one of {RULES}.')
        for name, value in (('num_images', num_images), ('batch_size', batch_size)):
            if value is not None and value < 1:
                raise ValueError(f'{name} must be at least 1, but is {value}.')
        self.rule = rule
        self.num_images, self.num_labelled = num_images, num_labelled
        self.batch_size = batch_size
        self.max_history = max_history
        self.images: UnlabelledImages | None = None
        self._said = False
        self._before: dict[str, dict] = {}

    def score_names(self, students: Sequence[str]) -> list[str]:
        """Return the names of what the hook adds to the scores of an evaluation."""
        scores = [f'{student}/{name}' for student in students for name in SCORES]
        return [AGREEMENT, *(f'{student}/{AGREEMENT}' for student in students), *scores]

    def before_train(self, runner) -> None:
        """Read the images."""
        self.images = UnlabelledImages(
            runner.cfg, self.num_images, self.num_labelled, self.batch_size
        )

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Measure, choose, and add what was found to the scores."""
        if self.images is None or metrics is None:  # no training
            return
        hub, model = runner.message_hub, unwrapped(runner.model)
        # On every rank: layers that talk to the other ranks would wait for them. Ranks must not
        # disagree by a rounding about what is best, so the first one's numbers count.
        with runner.val_loop.precision.autocast():
            scores, masks = self.images.measure(model)
        before = unpack(hub.get_info(MASKS), masks)
        shared = [{**scores, **self.images.stability(masks, before)}]
        broadcast_object_list(shared, src=0)
        hub.update_info(MASKS, pack(masks))
        history = [e for e in hub.get_info(HISTORY) or [] if e['iter'] < runner.iter]
        history.append({'iter': int(runner.iter), 'metrics': shared[0]})
        metrics.update(shared[0])
        self._choose(runner, history, list(model.outputs), metrics)

    def _choose(
        self, runner, history: list[dict], students: list[str], metrics: dict[str, float]
    ) -> None:
        hub = runner.message_hub
        if len(history) > 1 and not self._said:  # the first evaluation has no stability
            self._said = True
            runner.logger.info(what_chooses(history, self.rule, students))
        choice: dict[str, dict] = dict(hub.get_info(CHOICE) or {})
        self._before = dict(choice)
        to_beat = {}
        contests = {AGREEMENT: students, **{f'{s}/{AGREEMENT}': [s] for s in students}}
        for key, those in contests.items():
            best = Candidate(**choice[key]) if key in choice else None
            new, values = follow(history, self.rule, those, best)
            to_beat[key] = -np.inf if best is None else values.get(best, -np.inf)
            metrics[key] = max(v for c, v in values.items() if c.iter == history[-1]['iter'])
            choice[key] = new._asdict()
        hub.update_info(HISTORY, self._bound(history, choice))
        hub.update_info(CHOICE, choice)
        hub.update_info(TO_BEAT, to_beat, resumed=False)

    def _bound(self, history: list[dict], choice: Mapping[str, Mapping]) -> list[dict]:
        chosen = {one['iter'] for one in choice.values()}
        excess = max(len(history) - self.max_history, 0)
        drop = {e['iter'] for e in [e for e in history if e['iter'] not in chosen][:excess]}
        return [e for e in history if e['iter'] not in drop]

    def best_is_not_kept(self, runner, key: str) -> None:
        """Go back to what was chosen before the newest evaluation: that file is there, or none."""
        choice = dict(runner.message_hub.get_info(CHOICE) or {})
        alone = len(choice) == 2  # one student, whose file is that of the best of all, too
        for one in (key, AGREEMENT) if alone else (key,):
            choice.pop(one, None)
            choice.update({one: self._before[one]} if one in self._before else {})
        runner.message_hub.update_info(CHOICE, choice)

    def after_stage(self, runner) -> None:
        """Forget the evaluations of the stage that is over: none of them can be chosen."""
        for key in (HISTORY, MASKS, CHOICE):
            if runner.message_hub.get_info(key):
                runner.message_hub.update_info(key, [] if key == HISTORY else {})


def what_chooses(history: Sequence[Mapping], rule: str, students: Sequence[str]) -> str:
    """Say by what is chosen, and what the method does not have.

    Example:
        >>> history = [{'iter': 1, 'metrics': {'a/stability': 0.5, 'a/confidence': 0.8}}]
        >>> what_chooses(history, 'rank', ['a']).partition('; ')[0]
        'Chosen without labels by the mean rank in confidence, stability'
        >>> what_chooses(history, 'teacher', ['a']).rpartition(', ')[2]
        'so that rule="teacher" is not used'
    """
    have = [name for name in RANKED if usable_rule(history, name, students) == name]
    lacking = ', '.join(name for name in RANKED if name not in have)
    if usable_rule(history, rule, students) == rule != RANK:
        return f'Chosen without labels by {rule}'
    instead = '' if rule == RANK else f', so that rule="{rule}" is not used'
    lacking = f'; this method has no {lacking}{instead}' if lacking else ''
    return f'Chosen without labels by the mean rank in {", ".join(have)}{lacking}'


def pack(masks: Mapping[str, Sequence[np.ndarray]]) -> dict[str, torch.Tensor]:
    """Compress the class maps of each student into a tensor, which a checkpoint can hold."""
    packed = {}
    for name, maps in masks.items():
        data = zlib.compress(b''.join(np.ascontiguousarray(m).tobytes() for m in maps), 6)
        packed[name] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    return packed


def unpack(packed: Any, like: Mapping[str, Sequence[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """Return class maps of the sizes of others; nothing of a student whose are not there.

    Args:
        packed: what `pack` gave, also out of a file.
        like: class maps of the sizes that are expected.
    """
    found = {}
    for name, maps in like.items():
        data = (packed or {}).get(name)
        size = sum(m.size for m in maps)
        if not isinstance(data, torch.Tensor) or data.dtype != torch.uint8:
            continue
        try:
            flat = np.frombuffer(
                zlib.decompressobj().decompress(bytes(data.numpy()), size + 1), np.uint8
            )
        except zlib.error:
            continue
        if len(flat) == size:
            parts = np.split(flat, np.cumsum([m.size for m in maps])[:-1])
            found[name] = [p.reshape(m.shape) for p, m in zip(parts, maps, strict=True)]
    return found
