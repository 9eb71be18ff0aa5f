"""FixMatch with a mean teacher, with and without copy-paste."""

import torch
from torch import Tensor

from mmssl.models.mixing import box_mask, paste, resize_mask
from mmssl.models.semi_segmentor import SemiSegmentor
from mmssl.registry import MODELS, THRESHOLDS


@MODELS.register_module()
class FixMatch(SemiSegmentor):
    """FixMatch in the frame of MiDSS and SynFoC, an EMA teacher for every student.

    Sohn et al., FixMatch, NeurIPS 2020, https://arxiv.org/abs/2001.07685.

    With the teacher's probabilities q on the weak view: `yhat = argmax q`, `W = [max q > tau]`, and
    `L = L_x + weight(t) L(student(u_s), yhat, W)`. With `copy_paste` a random box of the labelled
    image, its label and full confidence are pasted into the strong view first; for one network
    this is the "Base" row of SynFoC's ablation. `EMATeacherHook` moves the teacher.

    Args:
        threshold: pixels that count.
        copy_paste: paste the labelled image into the unlabelled one (needs `box` in the batch).
    """

    def __init__(
        self, *args, threshold: dict | None = None, copy_paste: bool = False, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        self.threshold = THRESHOLDS.build(threshold or dict(type='FixedThreshold', value=0.95))
        self.copy_paste = copy_paste

    def student_views(self, batch: dict) -> dict[str, dict[str, Tensor]]:
        """Return the strong view, with the labelled box in it where asked for."""
        batch['target'], views = {}, {}
        for name in self.students:
            prob = self.teacher_prob(name, batch['u_w'][name])
            confidence, label = self.label_space.decide(prob)
            mask, view = self.threshold(confidence).float(), batch['u_s'][name]
            if self.copy_paste:
                box = box_mask(batch['box'], batch['u_s'][self.primary].shape[-1])
                inside = resize_mask(box, label.shape[-2:])
                label = paste(label, self.label_space.encode(batch['y'][name]), inside)
                mask = paste(mask, torch.ones_like(mask), inside)
                view = paste(view, batch['x_w'][name], resize_mask(box, view.shape[-2:]))
            batch['target'][name], views[name] = (label, mask), view
        return {'u_s': views}

    def unsup_loss(self, batch: dict) -> dict[str, Tensor]:
        """Return `unsup_<student>` on the strong view."""
        return {f'unsup_{name}': self.criterion(logits['u_s'], *batch['target'][name])
                for name, logits in batch['logits'].items()}
