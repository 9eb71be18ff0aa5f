"""Checkpoints that are whole, bounded in number, and one best file for each student."""

import os
import shutil
from pathlib import Path

import torch
from mmengine.dist import broadcast, broadcast_object_list, is_main_process, master_only
from mmengine.hooks import CheckpointHook as MMCheckpointHook

from mmssl.engine.checkpoints.folder import POINTER, bring, own_name
from mmssl.engine.checkpoints.io import atomic_save, load_checkpoint_file
from mmssl.engine.checkpoints.run_settings import write_settings
from mmssl.engine.checkpoints.save_journal import SaveJournal
from mmssl.registry import HOOKS
from mmssl.utils.errors import did_you_mean
from mmssl.utils.io import remove_temporaries, write_atomic
from mmssl.utils.machine import NO_ROOM
from mmssl.utils.processes.folder_lock import check_folder

EXTRA = 'extra_ckpt_id'  # where the message hub has the number of one that a signal asked for
TO_BEAT = (
    'scores_to_beat'  # where it has what the next best must pass, if not the best score so far
)


@HOOKS.register_module()
class CheckpointHook(MMCheckpointHook):
    """Save checkpoints so that one whole file is there at any time.

    The new file is written beside the old one, flushed and renamed; then `last_checkpoint`
    points to it; only then are older files removed. So the folder needs room for one file more
    than `max_keep_ckpts`. If the new file cannot be written (full disk), everything older stays.
    A run that is killed on the way leaves a note of what it was about to do (`SaveJournal`), and
    the next one in that folder does the rest.

    A run that is asked to end between two checkpoints writes one more, which counts as none of
    `max_keep_ckpts` and goes with the next regular one: afterwards the folder, and the message hub,
    are those of a run that was not interrupted.

    `save_best=['unet/DSC', 'sam/DSC']` keeps one file for each metric, for example
    `best_unet_DSC_iter_500.pth`, without optimiser states.

    Before any file is written, every hook's `before_checkpoint(runner)` is called on all ranks, and
    `best_is_not_kept(runner, key)` where the file of the newest best score is not there.

    Args:
        interval: iterations (or epochs) between two checkpoints.
        by_epoch: count epochs instead of iterations.
        on_write_error: 'stop' ends the run when a file cannot be written, so that it is noticed
            at once; 'continue' logs the error and tries again at the next interval (the last
            iteration always stops).
        **kwargs: as in `mmengine.hooks.CheckpointHook`; folders are local.
    """

    _default_greater_keys = [*MMCheckpointHook._default_greater_keys, 'DSC', 'Jaccard', 'agreement']
    _default_less_keys = [*MMCheckpointHook._default_less_keys, 'HD95', 'ASD']

    def __init__(
        self, interval: int = -1, by_epoch: bool = False, on_write_error: str = 'stop', **kwargs
    ):
        if on_write_error not in ('stop', 'continue'):
            raise ValueError(f'on_write_error is {on_write_error!r}, not "stop" or "continue"')
        super().__init__(interval=interval, by_epoch=by_epoch, **kwargs)
        for name in self.args:  # mmengine keeps them until a checkpoint is saved
            raise TypeError(f"CheckpointHook got an unexpected keyword argument '{name}'")
        self.on_write_error = on_write_error
        self.root = self.out_dir
        self._of_step = False  # while one is written from which a run goes on
        if own_name(self.filename_tmpl.format(1)) is None:
            raise ValueError(
                f'filename_tmpl is {self.filename_tmpl!r}: checkpoints are found again under '
                'iter_{}.pth or epoch_{}.pth'
            )

    def folder(self, runner) -> Path:
        """Return where the checkpoints of a run are.

        Below `out_dir` the last two parts of the work folder tell runs apart: method and config.
        """
        work_dir = Path(runner.work_dir)
        if self.root is None or Path(self.root) == work_dir:
            return work_dir
        return Path(self.root, *work_dir.absolute().parts[-2:])

    def before_resume(self, runner) -> None:
        """Finish what a dead run was about to do in the folder, and remove what it left."""
        self.out_dir = str(self.folder(runner))
        if not is_main_process():
            return
        for text in SaveJournal(self.out_dir).finish(Path(runner.work_dir) / POINTER):
            runner.logger.info(text)
        for folder in {str(self.out_dir), runner.work_dir}:
            for name in remove_temporaries(folder):
                runner.logger.info(f'Removed {name}, left half-written by a dead run')

    def before_train(self, runner) -> None:
        """Make the folder, read the best scores."""
        self.out_dir = str(self.folder(runner))
        runner.logger.info(f'Checkpoints will be saved to {self.out_dir}')
        if is_main_process():
            os.makedirs(self.out_dir, exist_ok=True)
            write_settings(runner.work_dir, runner.settings)
        self._take_over_notes(runner)
        name = runner.message_hub.get_info('last_ckpt')
        self.last_ckpt = name and str(Path(self.out_dir) / name)

    def _take_over_notes(self, runner) -> None:
        """Reduce what a resumed checkpoint notes of files to names in this run's own folder.

        Best checkpoints that lie beside the resumed one, in another folder, are copied.
        """
        hub, folder = runner.message_hub, Path(self.out_dir)
        kept = hub.get_info('keep_ckpt_ids')
        kept = [number for number in kept if self._is_there(number)] if type(kept) is list else []
        hub.update_info('keep_ckpt_ids', kept)
        hub.update_info('last_ckpt', own_name(hub.get_info('last_ckpt')))
        if not self._is_there(hub.get_info(EXTRA)):
            hub.pop_info(EXTRA)
        for key in self.save_keys() if self.save_best else ():
            score_key, path_key = self._best_infos(key)
            name, score = own_name(hub.get_info(path_key)), hub.get_info(score_key)
            if name is not None and isinstance(score, float):
                found = [bring(name, runner.resumed_from, folder) if is_main_process() else None]
                broadcast_object_list(found, src=0)
                if found[0]:
                    hub.update_info(path_key, name)
                    continue
                runner.logger.warning(
                    f'{name}, the best so far ({score:.4f}), is not in {folder}: the best is '
                    'chosen anew from here on'
                )
            for info in (score_key, path_key):
                if hub.get_info(info) is not None:
                    hub.pop_info(info)
            runner.call_hook('best_is_not_kept', key=key)

    def _is_there(self, number: object) -> bool:
        return type(number) is int and self._path(number).is_file()

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Leave out of a file from which no run goes on which others were there then."""
        if not self._of_step:
            for key in ('last_ckpt', 'keep_ckpt_ids', EXTRA):
                checkpoint['message_hub']['info'].pop(key, None)

    def save_before_leaving(self, runner) -> None:
        """Write the present state, unless it is written."""
        now = runner.epoch if self.by_epoch else runner.iter
        if self.last_ckpt != str(self._path(now)):
            meta = dict(epoch=runner.epoch, iter=runner.iter)
            self._save_checkpoint_with_step(runner, now, meta, extra=True)

    def _save_checkpoint_with_step(
        self, runner, step: int, meta: dict, extra: bool = False
    ) -> None:
        runner.call_hook('before_checkpoint')
        hub = runner.message_hub
        before = {key: hub.get_info(key) for key in ('last_ckpt', 'keep_ckpt_ids', EXTRA)}
        path = self._path(step)
        old = self._count(hub, step, extra)
        hub.update_info('last_ckpt', path.name)

        def write() -> None:
            with SaveJournal(self.out_dir).about(path, old):
                self._of_step = True
                try:
                    self._save(runner, path, meta, self.save_optimizer, self.save_param_scheduler)
                finally:
                    self._of_step = False
                write_atomic(Path(runner.work_dir) / POINTER, path.name)
                for other in old:
                    self._remove(runner, other.name)

        if self._attempt(runner, path, write):
            self.last_ckpt = str(path)
        else:
            for key, value in before.items():
                hub.pop_info(key) if value is None else hub.update_info(key, value)

    def _count(self, hub, step: int, extra: bool) -> list[Path]:
        """Note in the message hub which files stay beside the new one; return the others."""
        beside = [hub.pop_info(EXTRA)]
        kept = [number for number in hub.get_info('keep_ckpt_ids') or [] if number != step]
        old = []
        if extra:
            hub.update_info(EXTRA, step)
        else:
            kept.append(step)
            surplus = max(len(kept) - self.max_keep_ckpts, 0) if self.max_keep_ckpts > 0 else 0
            old, kept = kept[:surplus], kept[surplus:]
            hub.update_info('keep_ckpt_ids', kept)
        old += [number for number in beside if number not in (None, step, *kept)]
        return [self._path(number) for number in old]

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        if not self.save_best:
            return
        if 'auto' in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        now = runner.epoch if self.by_epoch else runner.iter
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        better = [self._save_best_of(runner, metrics, key, now, meta) for key in self.save_keys()]
        # The checkpoint of this iteration was written before the validation: it has to know
        # the new best scores, or a resumed run would forget them.
        if any(better) and self.last_ckpt == str(self._path(now)):
            extra = runner.message_hub.get_info(EXTRA) == now
            self._save_checkpoint_with_step(runner, now, dict(meta), extra)

    def after_stage(self, runner) -> None:
        """Choose the best checkpoints anew; those of the stage that is over are removed."""
        hub = runner.message_hub
        for key in self.save_keys() if self.save_best else ():
            score_key, path_key = self._best_infos(key)
            name = hub.get_info(path_key)
            if name and is_main_process():
                self._remove(runner, name)
            for info in (score_key, path_key):
                if hub.get_info(info) is not None:
                    hub.pop_info(info)

    def _init_rule(self, rules, key_indicator) -> None:
        try:
            super()._init_rule(rules, key_indicator)
        except ValueError:
            known = [*self._default_greater_keys, *self._default_less_keys]
            for key in [key_indicator] if isinstance(key_indicator, str) else key_indicator:
                if (last := key.rpartition('/')[2]) not in known:
                    raise ValueError(
                        f'save_best has "{key}", and whether more or less of it is better is not '
                        f'known; {did_you_mean(last, ("DSC", "Jaccard", "HD95", "ASD"))} For a '
                        "score of your own give rule='greater' or 'less'"
                    ) from None
            raise

    def save_keys(self) -> list[str]:
        """Return the metrics that have a best checkpoint each."""
        return list(self.key_indicators)

    def _best_infos(self, key: str) -> tuple[str, str]:
        """Return where the message hub has a metric's best score and its file."""
        tail = '' if len(self.key_indicators) == 1 else f'_{key}'
        return f'best_score{tail}', f'best_ckpt{tail}'

    def _path(self, number: int) -> Path:
        return Path(self.out_dir) / self.filename_tmpl.format(number)

    def _save_best_of(self, runner, metrics: dict, key: str, now: int, meta: dict) -> bool:
        if key not in metrics:
            raise ValueError(
                f'save_best has "{key}", which the evaluation does not give; it gives '
                f'{", ".join(sorted(metrics))}'
            )
        score_key, path_key = self._best_infos(key)
        hub = runner.message_hub
        rule = self.rules[self.key_indicators.index(key)]
        best = hub.get_info(score_key, self.init_value_map[rule])
        # What is ranked among all evaluations has another value with each new one.
        best = (hub.get_info(TO_BEAT) or {}).get(key, best)
        score = metrics[key]
        if score is None or not self.is_better_than[key](score, best):
            return False
        runner.call_hook('before_checkpoint')
        name = f'best_{key}_{self.filename_tmpl.format(now)}'.replace('/', '_')
        path = Path(self.out_dir) / name
        before = {score_key: hub.get_info(score_key), path_key: hub.get_info(path_key)}
        hub.update_info_dict({score_key: float(score), path_key: name})

        def write() -> None:
            self._save(runner, path, dict(meta), False, False, by_epoch=False)
            old = before[path_key]
            if old and old != name:
                self._remove(runner, old)

        if not self._attempt(runner, path, write):
            for info, value in before.items():
                hub.pop_info(info) if value is None else hub.update_info(info, value)
            runner.call_hook('best_is_not_kept', key=key)
            return False
        runner.logger.info(f'Best {key} so far: {score:.4f} at {now}, kept as {name}')
        return True

    def _save(self, runner, path: Path, meta, optimizer, scheduler, by_epoch=None) -> None:
        runner.save_checkpoint(
            str(path.parent),
            path.name,
            save_optimizer=optimizer,
            save_param_scheduler=scheduler,
            meta=meta,
            by_epoch=self.by_epoch if by_epoch is None else by_epoch,
            **self.args,
        )

    def _attempt(self, runner, path: Path, write) -> bool:
        """Write on rank 0; on failure stop on every rank, or return False, as configured."""
        failure = None
        if is_main_process():
            try:
                check_folder(runner.work_dir)
                write()
            except OSError as error:
                failure = error
        failed = torch.tensor(float(failure is not None))
        broadcast(failed)
        if not failed:
            return True
        text = self._explain(runner, path, failure)
        runner.logger.error(text)
        last = runner.iter + 1 >= runner.max_iters
        if self.on_write_error == 'stop' or last:
            raise OSError(text) from failure
        return False

    def _explain(self, runner, path: Path, failure: OSError | None) -> str:
        if failure is None:
            return f'Checkpoint {path.name} was not written by rank 0; its log has the reason'
        try:
            free = f'{shutil.disk_usage(path.parent).free / 1e6:.0f} MB free'
        except OSError:
            free = 'folder not readable'
        whole = self.last_ckpt or 'none yet'
        help_ = 'free some space' if failure.errno in NO_ROOM else 'see to it'
        return (
            f'Checkpoint {path} was not written: {failure.strerror or failure} ({free}). '
            f'The newest whole checkpoint is {whole}; {help_}, then go on with --resume'
        )

    def _remove(self, runner, name: str) -> None:
        """Remove a checkpoint of this run; never anything outside its folder."""
        if own_name(name) != name:
            runner.logger.warning(f'{name!r} is no checkpoint of this run: it stays')
            return
        try:
            (Path(self.out_dir) / name).unlink(missing_ok=True)
        except OSError as error:
            runner.logger.warning(f'{name} could not be removed: {error.strerror}')

    @master_only
    def _publish_model(self, runner, ckpt_path: str) -> None:
        checkpoint = load_checkpoint_file(ckpt_path)
        checkpoint = {k: v for k, v in checkpoint.items() if k in self.published_keys}
        path = Path(ckpt_path).with_suffix('').with_name(f'{Path(ckpt_path).stem}-published.pth')
        atomic_save(checkpoint, path)
        runner.logger.info(f'{ckpt_path} is published to {path}')
