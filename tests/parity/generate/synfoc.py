"""Recompute the reference of SynFoC (MQinghe/SynFoC, commit 3f3c06a).

    git clone https://github.com/MQinghe/SynFoC /tmp/SynFoC
    git -C /tmp/SynFoC checkout 3f3c06a
    python -m tests.parity.generate.synfoc /tmp/SynFoC [--check]

Three steps of `train.py` on the inputs of `tests/parity/data/synfoc_prostate.npz`: LoRA-SAM with
an encoder of width 48 and two blocks, the authors' U-Net, the pasted boxes of the file in place of
drawn ones, no automatic mixed precision.
"""

import importlib
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch
from torch import nn

from tests.parity.generate import cli, released
from tests.parity.synfoc_reference import Reference

STUBS = ('tensorboardX', 'skimage', 'icecream', 'dataloaders', 'medpy', 'cv2')
GREYS = dict(prostate=(255, 0), fundus=(255, 0, 100))  # of the label images, by class
SCALARS = dict(
    sup_sam='sam_sup_loss',
    sup_unet='unet_sup_loss',
    unsup_sam='sam_unsup_loss',
    unsup_unet='unet_unsup_loss',
    consistent='cons_loss',
    discrepant='discons_loss',
    weight='consistency_weight',
    total='loss',
)
ARRAYS = dict(
    teacher_sam_low_logits='sam_logits_ulb_x_w',
    teacher_unet_logits='unet_logits_ulb_x_w',
    student_sam_x_logits='sam_logits_lb_x_w',
    student_unet_x_logits='unet_logits_lb_x_w',
    pseudo_low='low_res_pseudo_label_ul',
    pseudo_unet='unet_size_pseudo_label_ul',
    mask_low='low_res_mask',
    mask_unet='unet_size_mask',
    ensemble_prob='unet_size_prob_ulb_x_w',
)


def batches(ref: Reference) -> tuple[list[dict], list[dict], list[torch.Tensor]]:
    """Return labelled and unlabelled batches as the script's loaders give them, and the boxes."""
    greys = torch.tensor(GREYS[ref.cfg['case']])
    labelled, unlabelled, boxes = [], [], []
    for i in range(3):
        x, x_unet, u, u_unet, us, us_unet = (
            ref.tensor(f'in{i}_{key}').float()
            for key in ('x', 'x_unet', 'u', 'u_unet', 'us', 'us_unet')
        )
        y, low, small = (
            greys[ref.tensor(f'in{i}_{key}').long()] for key in ('y', 'y_low', 'y_unet')
        )
        masks = dict(label=y, low_res_label=low, unet_size_label=small)
        labelled.append(dict(image=x, unet_size_img=x_unet, **masks))
        unlabelled.append(
            dict(
                image=u, unet_size_img=u_unet, strong_aug=us, unet_size_strong_aug=us_unet, **masks
            )
        )
        boxes += list(ref.tensor(f'in{i}_box').float())
    return labelled, unlabelled, boxes


def weights(ref: Reference, network: str) -> tuple[dict, dict]:
    """Return the student's and the teacher's weights, which share SAM's frozen trunk."""
    student, teacher = ref.weights(network), ref.weights(network, '_teacher')
    shared = [k for k in teacher if 'image_encoder' in k and 'linear_' not in k]
    return student, {**teacher, **{k: student[k] for k in shared}}


def prepare(script, ref: Reference) -> list[nn.Module]:
    """Set what the script's main part sets; return the list of the networks it will make."""
    cfg, made = ref.cfg, []
    todo = {name: iter(weights(ref, name)) for name in ('sam', 'unet')}

    def filled(network: nn.Module, name: str) -> nn.Module:
        network.load_state_dict(next(todo[name]))
        made.append(network)
        return network

    module = importlib.import_module('sam_lora_image_encoder')
    build_sam = importlib.import_module('segment_anything.build_sam')
    unet = script.UNet
    script.UNet = lambda **kwargs: filled(unet(**kwargs), 'unet')
    script.import_module = lambda name: SimpleNamespace(
        LoRA_Sam=lambda sam, rank: filled(module.LoRA_Sam(sam, rank), 'sam')
    )
    script.sam_model_registry = dict(
        vit_b=lambda **kwargs: build_sam._build_sam(
            48, 2, 2, [1], kwargs.pop('num_classes'), **dict(kwargs, checkpoint=None)
        )
    )
    vars(script).update(
        num_classes=cfg['ncls'],
        num_channels=cfg['ch'],
        patch_size=cfg['patch'],
        part=['part'] * len(cfg['parts']),
        n_part=len(cfg['parts']),
        min_v=0,
        max_v=1,
        fillcolor=0,
        multimask_output=cfg['ncls'] > 1,
        train_data_path='',
        dataset=mock.MagicMock(),
        transforms=mock.MagicMock(),
        dice_calcu=dict(
            fundus=script.metrics.dice_coeff_2label, prostate=script.metrics.dice_coeff
        ),
    )
    vars(script.args).update(
        dataset=cfg['case'],
        img_size=cfg['img'],
        max_iterations=cfg['max_it'],
        amp=0,
        AdamW=True,
        warmup=True,
        threshold=cfg['tau'],
        label_bs=cfg['bs'],
        unlabel_bs=cfg['bs'],
        domain_num=1,
        eval=False,
        ckpt=None,
    )
    return made


def norms_of_gradients(network: nn.Module) -> dict[str, float]:
    """Return the norm of each gradient that the network has received."""
    return {k: p.grad.norm().item() for k, p in network.named_parameters() if p.grad is not None}


def sums_and_norms(network: nn.Module) -> dict[str, list[float]]:
    """Return sum and norm of each tensor of a network."""
    return {
        k: [v.sum().item(), v.norm().item()]
        for k, v in network.state_dict().items()
        if v.is_floating_point()
    }


def compute(code: Path, ref: Reference) -> dict:
    """Return the results of three steps under the names that the reference gives them."""
    script = released.load_script(
        code / 'train.py', (), {'\n    iter_num = 0\n': f'\n    iter_num = {ref.cfg["iter0"]}\n'}
    )
    made = prepare(script, ref)
    labelled, unlabelled, boxes = batches(ref)
    box = iter(boxes)
    script.obtain_cutmix_box = lambda **kwargs: next(box)
    steps = released.train(
        script, lambda: script.train(script.args, '.'), [labelled, unlabelled], made
    )
    results = dict(cfg=ref.cfg | dict(dtype='float64'))
    for i, step in enumerate(steps):
        found = dict(
            self_conf=step['self_conf'],
            mutual_conf=step['mutual_conf'],
            alpha=step['ratio'].flatten().numpy(),
        )
        found |= {key: float(torch.as_tensor(step[name])) for key, name in SCALARS.items()}
        if i == 0:
            found |= {key: step[name].detach().numpy() for key, name in ARRAYS.items()}
        results |= {f'it{i}_{key}': value for key, value in found.items()}
    sam, ema_sam, unet, ema_unet = made
    results |= dict(zip(('grad_sam', '', 'grad_unet', ''), steps[0]['grads'], strict=True))
    results.pop('')
    return results | dict(
        final_student_sam=sums_and_norms(sam),
        final_teacher_sam=sums_and_norms(ema_sam),
        final_student_unet=sums_and_norms(unet),
        final_teacher_unet=sums_and_norms(ema_unet),
    )


def main() -> None:
    """Recompute the reference."""
    args = cli.parse(__doc__)
    ref = Reference(str(released.DATA / 'synfoc_prostate.npz'))
    with released.checkout(Path(args.checkout, 'code'), STUBS) as code:
        results = compute(code, ref)
    released.save('synfoc_prostate', results, args.check)


if __name__ == '__main__':
    main()
