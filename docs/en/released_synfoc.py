"""The training iteration of SynFoC's released code, to be measured beside that of a config.

    git clone https://github.com/MQinghe/SynFoC
    python tools/analysis_tools/benchmark_step.py configs/synfoc/prostate.py --random-weights \
        --against docs/en/released_synfoc.py --adapter-options checkout=SynFoC

The networks, the Dice loss and the Dice of the confidences are those of the checkout. What its
`train.py` does with them between two batches (which starts a training when it is imported) is
stated here anew: seven passes through the networks, the confidences on the CPU, the losses, one
backward pass, two optimisers, the teachers' loop over the parameters. Left out is what the
released code writes into its log. Images are random; the weights are, too. The precision is that of
the config's step, or with the option `precision=float32` what the released code has on a CPU, where
its autocast, which is CUDA's, does nothing.
"""

import importlib
import sys
import types
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

ROOMS = ('segment_anything', 'networks', 'utils', 'sam_lora_image_encoder', 'icecream')


@contextmanager
def checkout_first(folder):
    """Let the names of the checkout be found, though packages of the same names are installed."""
    kept = {name: sys.modules.pop(name) for name in [*sys.modules] if name.split('.')[0] in ROOMS}
    sys.modules['icecream'] = types.SimpleNamespace(ic=print)  # imported there, never called
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.split('.')[0] in ROOMS]:
            del sys.modules[name]
        sys.modules.update(kept)


def move(teacher, student, alpha):
    """Move pairs of parameters one after the other."""
    for old, new in zip(teacher, student, strict=True):
        old.data.mul_(alpha).add_(new.data, alpha=1 - alpha)


def adapted(network):
    """Return what learns of a foundation model: adapters, mask decoder, prompt encoder."""
    sam = network.sam
    layers = [layer.weight for layer in (*network.w_As, *network.w_Bs)]
    return [*layers, *sam.mask_decoder.parameters(), *sam.prompt_encoder.parameters()]


class Released:
    """One iteration with two classes, images of one channel."""

    def __init__(self, setting):
        code = Path(setting.options['checkout'], 'code')
        self.device, self.dtype = setting.device, setting.dtype
        if setting.options.get('precision') == 'float32':
            self.dtype = None
        self.large = int(setting.options.get('sam', 512))
        self.small = int(setting.options.get('unet', 384))
        self.low = self.large // 4
        sampler = setting.cfg.train_dataloader.batch_sampler
        self.counts = sampler.num_labelled, sampler.num_unlabelled
        if len(set(self.counts)) > 1:
            raise ValueError(f'The released step takes as many of both images, got {self.counts}')
        with checkout_first(code):
            build = importlib.import_module('segment_anything').sam_model_registry
            lora = importlib.import_module('sam_lora_image_encoder').LoRA_Sam
            unet = importlib.import_module('networks.unet_model').UNet
            dice_loss = importlib.import_module('utils.losses').DiceLossWithMask
            self.dice = importlib.import_module('utils.metrics').dice_coeff
        kind = setting.options.get('vit', 'vit_b')

        def foundation():
            sam, _ = build[kind](
                image_size=self.large, num_classes=1, pixel_mean=[0, 0, 0], pixel_std=[1, 1, 1]
            )
            return lora(sam, 4).to(self.device).train()

        self.sam, self.sam_teacher = foundation(), foundation()
        self.unet, self.unet_teacher = (unet(1, 2).to(self.device).train() for _ in range(2))
        for teacher in (self.sam_teacher, self.unet_teacher):
            teacher.requires_grad_(False)
        learning = [p for p in self.sam.parameters() if p.requires_grad]
        self.optimizers = [
            torch.optim.AdamW(learning, lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
            torch.optim.SGD(self.unet.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4),
        ]
        self.scaler = torch.amp.GradScaler(
            setting.device, enabled=setting.device == 'cuda' and self.dtype == torch.float16
        )
        self.dice_loss = dice_loss(2)
        self.data = self.images()

    def images(self):
        """Return images of both sizes and a mask, on the CPU as a loader gives them."""
        draw, count = torch.Generator().manual_seed(0), self.counts[0]
        found = {}
        for name in ('x', 'u_w', 'u_s'):
            large = torch.rand(count, 1, self.large, self.large, generator=draw)
            found[name] = large.expand(-1, 3, -1, -1).contiguous()
            found[f'{name}_small'] = F.interpolate(large, size=self.small, mode='bilinear')
        mask = torch.zeros(count, 1, self.large, self.large)
        mask[..., : self.large // 2, : self.large // 3] = 1
        found['y'] = F.interpolate(mask, size=self.low)[:, 0].long()
        found['y_small'] = F.interpolate(mask, size=self.small)[:, 0].long()
        return found

    def logits(self, network, x):
        """Return a foundation model's logits at a quarter of the image's size."""
        return network(x, False, self.large)['low_res_logits']

    def confidences(self, student, conventional, foundation):
        """Return self and mutual confidence, computed on the CPU as published."""
        student, conventional = (p.argmax(1) for p in (student, conventional))
        low = F.interpolate(conventional[None].float(), size=(self.low, self.low))[0].long()
        pairs = (student, conventional), (low, foundation.argmax(1))
        found = [
            np.mean(self.dice(np.asarray(a.clone().cpu()), b.clone().cpu(), ret_arr=True), axis=0)
            for a, b in pairs
        ]
        return torch.tensor(found[0] * found[1]).view(-1, 1, 1, 1).to(self.device)

    def supervised(self, logits, target, mask=None):
        """Return cross-entropy and Dice of one student."""
        entropy = F.cross_entropy(logits, target, reduction='none')
        entropy = entropy if mask is None else entropy * mask[:, 0]
        return entropy.mean() + self.dice_loss(logits, target[:, None], mask=mask, softmax=True)

    def boxes(self):
        """Return a box for each image, at the three sizes, made on the CPU."""
        small = torch.zeros(self.counts[1], 1, self.small, self.small)
        side = self.small // 3
        small[..., side : 2 * side, side : 2 * side] = 1
        small = small.to(self.device)
        large, low = (F.interpolate(small, size=(s, s)) for s in (self.large, self.low))
        return small, large, low

    def loss(self, d):
        """Return the loss of one batch."""
        with torch.no_grad():
            q_f = self.logits(self.sam_teacher, d['u_w']).softmax(1)
            q_f_small = F.interpolate(q_f, size=(self.small, self.small), mode='bilinear')
            q_c = self.unet_teacher(d['u_w_small']).softmax(1)
        student = self.unet(d['u_w_small']).softmax(1)  # with its graph, which nobody uses
        alpha = self.confidences(student, q_c, q_f)
        mixed = (1 - alpha) * q_f_small + alpha * q_c
        box, box_large, box_low = self.boxes()
        inside = box[:, 0].long(), box_low[:, 0].long()
        lessons = []
        for size, b, y in ((self.small, inside[0], d['y_small']), (self.low, inside[1], d['y'])):
            e = mixed
            if size != self.small:
                e = F.interpolate(mixed, size=(size, size), mode='bilinear')
            most, label = e.max(1)
            mask = (most > 0.95).float()[:, None]
            mask[b[:, None] == 1] = 1
            lessons.append((label * (1 - b) + y * b, mask))
        small_c = d['u_s_small'] * (1 - box) + d['x_small'] * box
        large_c = d['u_s'] * (1 - box_large) + d['x'] * box_large
        z_x, z_c = self.logits(self.sam, d['x']), self.logits(self.sam, large_c)
        w_x, w_c = self.unet(d['x_small']), self.unet(small_c)
        return (
            self.supervised(z_x, d['y'])
            + self.supervised(w_x, d['y_small'])
            + 0.5 * self.supervised(z_c, *lessons[1])
            + 0.5 * self.supervised(w_c, *lessons[0])
            + 0.5 * self.consistency(z_c.softmax(1), w_c.softmax(1))
        )

    def consistency(self, p_f, p_c):
        """Return what draws the students together where they differ and sharpens them elsewhere."""
        p_f_small = F.interpolate(p_f, size=(self.small, self.small))
        same = (p_f_small.argmax(1) == p_c.argmax(1)).float()[:, None]
        same_low = F.interpolate(same, size=(self.low, self.low))
        p_f, p_c_safe = p_f.clamp(1e-10, 1), p_c.clamp(1e-10, 1)
        sharp = (p_f * p_f.log() * same_low).mean() + (p_c_safe * p_c_safe.log() * same).mean()
        return ((p_f_small - p_c) ** 2 * (1 - same)).mean() - sharp / 2

    def __call__(self):
        """Make one iteration."""
        data = {name: value.to(self.device) for name, value in self.data.items()}
        half = torch.autocast(self.device, self.dtype) if self.dtype else nullcontext()
        with half:
            loss = self.loss(data)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        move(adapted(self.sam_teacher), adapted(self.sam), 0.99)
        move(self.unet_teacher.parameters(), self.unet.parameters(), 0.99)
        return {'loss': torch.tensor(loss.item())}


def make_step(setting):
    """Return the iteration, see `mmssl.experiments.cost.adapter`."""
    if 'checkout' not in setting.options:
        raise ValueError('released_synfoc.py needs --adapter-options checkout=FOLDER of SynFoC')
    return Released(setting)
