"""Two stages in one run: the second one starts from the best weights of the first."""

import copy
from pathlib import Path

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook

from mmssl.engine.checkpoints.folder import bring
from mmssl.registry import HOOKS
from mmssl.structures import Pretrained

BEST = 'best_pretrained_score'


@HOOKS.register_module()
class PretrainHook(Hook):
    """Keep the best pre-trained weights, and start the second stage of a method from them.

    The model says how long the pre-training is (`pretrain_iters`) and what its methods need
    afterwards (`start_from_pretrained`). Until then every validation that is better than all
    before writes weights and optimiser state to a file in the work folder. Before the first
    iteration of the second stage

    * all weights are read from that file, and the model gives the teachers their students';
    * every optimiser goes on from its state in that file; that of a student which was not
      pre-trained from the primary one's, or all start anew where `keep_optimizer` is off. Learning
      rates stay where the schedule has them;
    * all hooks' `after_stage(runner)` is called: checkpoints and scores of the pre-training are
      no candidates for the best of the run.

    A run that is interrupted and resumed in either stage goes on exactly. Where no validation fell
    into the pre-training, the second stage starts from its last weights.

    Args:
        monitor: score of the validation, the greater the better; by default the Dice coefficient
            of the primary student, `<primary>/DSC`.
        filename: name of the file in the work folder.
        keep_optimizer: whether the optimisers keep what they have gathered, such as momentum.
    """

    priority = 'NORMAL'

    def __init__(
        self,
        monitor: str | None = None,
        filename: str = 'pretrained.pth',
        keep_optimizer: bool = True,
    ) -> None:
        self.monitor = monitor
        self.filename = filename
        self.keep_optimizer = keep_optimizer

    def before_train(self, runner) -> None:
        """Check that the model has two stages.

        Raises:
            ValueError: it has not.
        """
        if not isinstance(runner.bare_model, Pretrained):
            raise ValueError(
                f'PretrainHook needs a model with a pre-training, such as BCP; '
                f'{type(runner.bare_model).__name__} has none: remove the hook'
            )
        if is_main_process() and runner.message_hub.get_info(BEST) is not None:
            bring(self.filename, getattr(runner, 'resumed_from', None), runner.work_dir)

    def after_val_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Keep weights and optimiser state if they are the best of the pre-training.

        Raises:
            KeyError: the validation does not give the score.
        """
        model = runner.bare_model
        if runner.iter > model.pretrain_iters or not model.pretrain_iters:
            return
        key = self.monitor or f'{model.primary}/DSC'
        metrics = metrics or {}
        if key not in metrics:
            raise KeyError(
                f'PretrainHook.monitor is "{key}", which the validation does not give; '
                f'it gives {sorted(metrics)}'
            )
        if not metrics[key] > runner.message_hub.get_info(BEST, float('-inf')):
            return
        runner.message_hub.update_info(BEST, float(metrics[key]))
        runner.call_hook('before_checkpoint')
        runner.save_checkpoint(
            runner.work_dir,
            self.filename,
            save_param_scheduler=False,
            by_epoch=False,
            meta=dict(epoch=runner.epoch, iter=runner.iter),
        )
        runner.logger.info(
            f'Best pre-trained {key} so far: {metrics[key]:.4f} at {runner.iter}, '
            f'kept as {self.filename}'
        )

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Start the second stage when the first one is over.

        Raises:
            FileNotFoundError: the file with the best pre-trained weights is gone.
        """
        model = runner.bare_model
        if not model.pretrain_iters or runner.iter != model.pretrain_iters:
            return
        barrier()  # the first rank may still be writing
        path = Path(runner.work_dir) / self.filename
        if runner.message_hub.get_info(BEST) is None:
            runner.logger.warning(
                f'No validation in the {model.pretrain_iters} iterations of pre-training '
                '(train_cfg.val_interval is longer): going on from the last weights'
            )
            saved = runner.optim_wrapper.state_dict()
        else:
            saved = runner.load_checkpoint(path, strict=True)['optimizer']
        model.start_from_pretrained()
        self._start_optimizers(runner, saved)
        runner.call_hook('after_stage')

    def _start_optimizers(self, runner, saved: dict) -> None:
        """Give every optimiser the state of its student, or of the primary one, or none."""
        model, own = runner.bare_model, runner.optim_wrapper.state_dict()
        for name, state in own.items():
            if name == 'loss_scaler':
                continue
            copied = name in model.students and name not in model.pretrained
            source = saved[model.primary if copied else name]
            # two optimisers must not share their buffers
            state['state'] = copy.deepcopy(source['state']) if self.keep_optimizer else {}
        runner.optim_wrapper.load_state_dict(own)
