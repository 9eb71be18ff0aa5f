"""A finished run with several checkpoints: what each is worth, with labels and without."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mmssl.utils.errors import SettingError
from mmssl.utils.io import read_json, write_atomic

METRIC = 'DSC'


class KeptRun:
    """The checkpoints `iter_*.pth` of a work folder, measured one by one; nothing there changes.

    What is measured is kept in a file, so that an interrupted study goes on and a second one is
    quick. A checkpoint that has changed is measured again.

    Args:
        folder: work folder of the run.
        file: where the measurements are kept.
        options: values that override the config's, by dotted name.
        num_images: unlabelled images that are looked at, see `UnlabelledImages`.

    Attributes:
        iterations: of the checkpoints, ascending.
        entries: name of a checkpoint or of a mean to its measurements: `metrics` (label-free),
            `test` and, where the run has labelled images for validation, `val`.

    Raises:
        SettingError: the folder is not there, has no config, or less than two checkpoints.
    """

    def __init__(
        self,
        folder: Path,
        file: Path,
        options: Mapping[str, Any] | None = None,
        num_images: int | None = None,
    ) -> None:
        self.folder, self.file, self.options = folder, file, dict(options or {})
        self.num_images = num_images
        self.iterations = kept_iterations(folder)
        self.stamps = {i: self._stamp(i) for i in self.iterations}
        self.about = {
            'num_images': num_images,
            'options': {k: str(v) for k, v in self.options.items()},
        }
        self.others: list[dict] = []
        self.entries: dict[str, dict] = {}
        self._read()

    def _stamp(self, iteration: int) -> list[float]:
        found = (self.folder / f'iter_{iteration}.pth').stat()
        return [found.st_size, found.st_mtime]

    def _read(self) -> None:
        """Take over what is measured of the checkpoints as they are, and keep what others asked."""
        content = read_json(self.file, {})
        wanted = {f'iter_{i}': stamp for i, stamp in self.stamps.items()}
        for one in (content, *content.get('others', [])):
            entries = one.get('entries', {})
            if one.get('about') == self.about:
                for name, entry in entries.items():
                    stamp = wanted.get(name, None if name.startswith('iter_') else self.all_stamps)
                    if entry.get('stamp') == stamp:
                        self.entries[name] = entry
            elif entries:
                self.others.append({'about': one['about'], 'entries': entries})

    @property
    def all_stamps(self) -> list[list[float]]:
        """Size and time of every checkpoint."""
        return [self.stamps[iteration] for iteration in self.iterations]

    @cached_property
    def cfg(self) -> Any:
        """The config that the training wrote into its folder."""
        from mmssl.utils.setup import load_config

        found = sorted(self.folder.glob('*.py'), key=lambda path: path.stat().st_mtime)
        if not found:
            raise SettingError(f'{self.folder} has no config file that its training wrote')
        cfg = load_config(found[-1], self.options)
        cfg.load_from, cfg.resume, cfg.launcher = None, False, 'none'
        cfg.log_level = 'ERROR'
        cfg.visualizer = {'type': 'Visualizer', 'vis_backends': []}
        return cfg

    @property
    def complete(self) -> bool:
        """Whether the training reached its last iteration."""
        return bool(self.iterations[-1] >= self.cfg.train_cfg.max_iters)

    @cached_property
    def _work_dir(self) -> tempfile.TemporaryDirectory:
        return tempfile.TemporaryDirectory(prefix='selection_study_')

    def _runner(self, what: str, dataset: Mapping[str, Any]) -> Any:
        """Return a runner that tests on a data set; it writes into a folder that is removed."""
        import copy
        import uuid

        from mmssl.registry import RUNNERS
        from mmssl.utils.setup import register_all_modules

        register_all_modules()
        cfg = copy.deepcopy(self.cfg)
        cfg.work_dir, cfg.experiment_name = self._work_dir.name, f'{what}_{uuid.uuid4().hex}'
        cfg.test_dataloader.dataset = dict(dataset)
        for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
            cfg[key] = None
        for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
            cfg[key] = None
        cfg.custom_hooks = []
        cfg.default_hooks = {
            name: None
            for name in ('runtime_info', 'timer', 'logger', 'param_scheduler', 'checkpoint')
        }
        runner = RUNNERS.build(cfg)
        runner._has_loaded = True
        return runner

    @cached_property
    def tester(self) -> Any:
        """Runner on the test set."""
        return self._runner('test', self.cfg.test_dataloader.dataset)

    @cached_property
    def validator(self) -> Any:
        """Runner on a validation set of its own; None where the training had none.

        That is what it was validated on, unless that was the test set; else what it held out.
        """
        given = self.cfg.train_dataloader.dataset
        own = (self.cfg.get('val_dataloader') or {}).get('dataset') or {}
        if own.get('mode') == 'val':
            return self._runner('val', own)
        if not given.get('holdout'):
            return None
        kept = {key: given[key] for key in ('labelled', 'holdout') if given.get(key)}
        dataset = {**self.cfg.test_dataloader.dataset, **kept, 'mode': 'val'}
        return self._runner('val', dataset)

    @cached_property
    def images(self) -> Any:
        """Unlabelled training images."""
        from mmssl.engine.label_free import UnlabelledImages

        return UnlabelledImages(self.cfg, self.num_images)

    @property
    def model(self) -> Any:
        """The model that is asked."""
        return self.tester.bare_model

    def state(self, iteration: int) -> Mapping[str, Any]:
        """Return the parameters of a checkpoint."""
        from mmssl.engine.checkpoints.io import load_checkpoint_file
        from mmssl.engine.checkpoints.weights import parameters_by_name

        path = self.folder / f'iter_{iteration}.pth'
        return parameters_by_name(load_checkpoint_file(path), path.name)

    def load(self, state: Mapping[str, Any]) -> None:
        """Put parameters into the model."""
        from mmssl.engine.checkpoints.weights import load_weights

        load_weights(self.model, {'state_dict': state}, str(self.folder), strict=True)
        self.model.eval()

    def look(self) -> Any:
        """Measure the model without labels."""
        return self.images.measure(self.model)

    def score(self) -> dict[str, dict[str, float]]:
        """Return the scores of the model's students on the test set and on held-out images."""
        found = {'test': _of_students(self.tester.test())}
        if self.validator is not None:
            self.validator.bare_model.load_state_dict(self.model.state_dict())
            found['val'] = _of_students(self.validator.test())
        return found

    def measure(self, scored: bool = True, say: Callable = print) -> None:
        """Measure every checkpoint that is not measured yet, the oldest first.

        Args:
            scored: with labels, too; otherwise no mask but the labelled ones' is opened.
            say: is told what was done.
        """
        masks: dict[str, Any] | None = None
        before = None
        for iteration in self.iterations:
            name, after = f'iter_{iteration}', None if before is None else self.stamps[before]
            known = self.entries.get(name, {})
            if known and known.get('after', after) == after and ('test' in known or not scored):
                masks, before = None, iteration
                continue
            if masks is None and before is not None:
                self.load(self.state(before))
                masks = self.look().masks
            self.load(self.state(iteration))
            found = self.look()
            metrics = {**found.scores, **(self.images.stability(found.masks, masks or {}))}
            scores = self.score() if scored else {}
            entry = {'metrics': metrics, **scores, 'students': list(self.model.outputs)}
            self.keep(name, {**entry, 'stamp': self.stamps[iteration], 'after': after})
            masks, before = found.masks, iteration
            say(f'{self.folder}: {name} measured')

    def keep(self, name: str, entry: dict) -> None:
        """Add a measurement to the file."""
        self.entries[name] = entry
        content = {
            'run': str(self.folder),
            'about': self.about,
            'entries': self.entries,
            'others': self.others,
        }
        write_atomic(self.file, json.dumps(content, indent=1) + '\n')

    def history(self) -> list[dict]:
        """Return the label-free scores of the checkpoints, as `mmssl.evaluation.label_free`."""
        return [
            {'iter': i, 'metrics': self.entries[f'iter_{i}']['metrics']} for i in self.iterations
        ]

    def students(self) -> list[str]:
        """Return the names of the students, the primary one first."""
        return list(self.entries[f'iter_{self.iterations[-1]}']['students'])

    def last_part(self) -> list[int]:
        """Return the iterations of the newer half of the checkpoints, at least two."""
        return self.iterations[-max(2, (len(self.iterations) + 1) // 2) :]


def kept_iterations(folder: Path) -> list[int]:
    """Return the iterations of a run's checkpoints, ascending.

    Raises:
        SettingError: the folder is not there, or has less than two.
    """
    from mmssl.engine.checkpoints.folder import NUMBERED, kept_files

    if not folder.is_dir():
        raise SettingError(f'There is no folder "{folder}": name the work folder of a training')
    names = [name for name in kept_files(folder) if name.startswith('iter_')]
    found = sorted(int(match[1]) for name in names if (match := NUMBERED.fullmatch(name)))
    if len(found) < 2:
        raise SettingError(
            f'"{folder}" has {len(found) or "no"} checkpoint{"" if len(found) else "s"} '
            'iter_*.pth, and a mean needs two: name the work folder of a training that kept '
            'several, by default_hooks.checkpoint.max_keep_ckpts=-1'
        )
    return found


def _of_students(metrics: Mapping[str, float]) -> dict[str, float]:
    keys: Sequence[str] = [key for key in metrics if key.count('/') == 1]
    return {k.split('/')[0]: float(metrics[k]) for k in keys if k.endswith(f'/{METRIC}')}
