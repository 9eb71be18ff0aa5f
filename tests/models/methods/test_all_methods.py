"""Every method passes the checks of `mmssl.testing.MethodTester`; one entry for each."""

import numpy as np
import torch
from sam_parts import ARCH

from mmssl.datasets.transforms.distance import SignedDistance
from mmssl.testing import MethodTester, sam_segmentor, volume_segmentor
from mmssl.testing.phantoms import SIDE
from tests.models.methods import (  # noqa: F401  register stand-ins
    test_bcmda,
    test_cpc_sam,
    test_mcsd,
    test_ust_run,
)
from tests.models.methods.test_know_sam import adapted_sam
from tests.tiny import GN, segmentor, set_phase
from tests.volume_parts import monai_network

LOOSE = dict(threshold=dict(value=0.4))  # pixels of untrained networks that count


def test_every_method_has_an_entry():
    from mmssl.models import SemiSegmentor, methods

    known = {name for name in methods.__all__ if issubclass(getattr(methods, name), SemiSegmentor)}
    entries = [
        value
        for value in globals().values()
        if isinstance(value, type) and issubclass(value, MethodTester)
    ]
    tested = {entry.model_cfg().model.type for entry in entries if hasattr(entry, 'config')}
    assert known == tested


class TestSupOnly(MethodTester):
    config = 'sup_only/prostate.py'
    unlabelled = False


class TestFixMatch(MethodTester):
    config = 'synfoc/prostate_base-unet.py'
    options = LOOSE


class TestFixMatchOfSSL4MIS(MethodTester):
    config = 'fixmatch/acdc.py'

    @classmethod
    def batch(cls, *args, **kwargs):
        raw = super().batch(*args, **kwargs)
        raw['inputs']['x_s'] = (0.7 * raw['inputs']['x_w'].float()).to(torch.uint8)
        return raw


class TestFixMatchWithCowMix(MethodTester):
    config = 'fixmatch/fundus_cowmix.py'
    options = LOOSE
    exact = dict(mixer=dict(_delete_=True, type='CutMix'))


class TestMeanTeacher(MethodTester):
    config = 'mean_teacher/acdc.py'
    options = dict(start=0)
    exact = dict(noise_std=0.0)


class TestUAMT(MethodTester):
    config = 'ua_mt/prostate.py'
    options = dict(threshold=dict(type='UncertaintyThreshold', start=0.99))
    exact = dict(noise_std=0.0)


class TestSynFoC(MethodTester):
    config = 'synfoc/prostate.py'
    options = LOOSE


class TestSynFoCBalanced(MethodTester):
    config = 'synfoc/prostate.py'
    options = dict(threshold=dict(_delete_=True, type='ClassBalancedThreshold', share=0.5))


class TestUniMatch(MethodTester):
    config = 'unimatch/acdc.py'
    options = LOOSE
    exact = dict(feature_dropout=None)


class TestUniMatchV2(MethodTester):
    config = 'unimatch_v2/acdc.py'
    options = dict(LOOSE, unsup_criterion=dict(ce_weight=1.0, dice_weight=0.0))  # as published
    exact = dict(complementary=False)

    @classmethod
    def share(cls, key, value, rank):
        """Return images with their partners, which are as far from the end of the batch."""
        half = len(value) // 2
        order = [i for pair in zip(range(half), range(2 * half)[::-1], strict=False) for i in pair]
        share = sorted(order[:half] if rank == 0 else order[half:])
        return value[share]


class TestCrossMatch(MethodTester):
    config = 'crossmatch/acdc.py'
    options = LOOSE
    exact = dict(dropout=(0.0, 0.0))


class TestMCSD(MethodTester):
    config = 'mcsd/acdc.py'
    options = dict(LOOSE, neck=dict(_delete_=True, type='StandInNeck'))

    @classmethod
    def model(cls, *args, **kwargs):
        model = super().model(*args, **kwargs)
        model.neck.calls = test_mcsd.Forgets()  # a list that grows is a change at every step
        return model

    @classmethod
    def student(cls, name, channels, norm):
        return segmentor(channels, norm, channels=3 if name == 'feature_unet' else 1)

    @classmethod
    def edit(cls, cfg):
        cfg.custom_hooks = []  # there is no projection to fit


class TestMCSDShared(TestMCSD):
    """One network with two stems."""

    config = 'mcsd/lite_acdc_shared.py'

    @classmethod
    def student(cls, name, channels, norm):
        widths = (4, 6, 8)
        stems = dict(type='TwoStemUNetEncoder', feature_channels=3, widths=widths)
        head = dict(type='UNetDecoderHead', in_channels=widths, num_classes=channels, norm_cfg=norm)
        return dict(
            type='EncoderDecoder',
            backbone=dict(stems, dropout=(0, 0, 0), norm_cfg=norm),
            decode_head=head,
        )


class TestMCSDGuidedByAgreement(TestMCSD):
    config = 'mcsd/lite_acdc_guidance.py'


class TestMCSDGuidedByConfidence(TestMCSD):
    config = 'mcsd/lite_acdc_guidance_confident.py'


class TestMCSDDistillation(TestMCSD):
    config = 'mcsd/lite_acdc_distillation.py'
    options = dict(TestMCSD.options, distillation=dict(layer='decode_head.convs.0', dim=3))

    @classmethod
    def student(cls, name, channels, norm):
        network = TestMCSDShared.student(name, channels, norm)
        network['backbone']['type'] = 'UNetEncoder'
        del network['backbone']['feature_channels']
        return network

    @classmethod
    def edit(cls, cfg):
        super().edit(cfg)
        cfg.optim_wrapper.optimizers.neck = dict(type='SGD', lr=0.01)  # of the stand-in


class TestCPS(MethodTester):
    config = 'cps/acdc.py'


class TestCPSWithCutMix(MethodTester):
    config = 'cps/acdc_cutmix.py'
    options = dict(on_labelled=True)


class TestCrossTeaching(MethodTester):
    config = 'cross_teaching/acdc.py'
    options = dict(data_preprocessor=dict(sizes=dict(swin=dict(label=SIDE))))

    @classmethod
    def student(cls, name, channels, norm):
        if name == 'unet':
            return segmentor(channels, norm)
        backbone = dict(
            type='SwinTransformer',
            in_channels=1,
            embed_dims=8,
            patch_size=2,
            window_size=2,
            depths=(1, 1),
            num_heads=(1, 2),
            strides=(2, 2),
            out_indices=(0, 1),
            drop_path_rate=0,
        )
        head = dict(
            type='UPerHead',
            in_channels=(8, 16),
            in_index=(0, 1),
            channels=8,
            pool_scales=(1, 2),
            dropout_ratio=0,
            num_classes=channels,
            norm_cfg=norm,
        )
        return dict(type='EncoderDecoder', backbone=backbone, decode_head=head)


class TestCPSCauSSL(MethodTester):
    config = 'caussl/acdc.py'
    options = dict(cps_start=0, start=0, every=2, independence=dict(steps=2))


class TestBCP(MethodTester):
    config = 'bcp/acdc.py'


class StrongLabelsTester(MethodTester):
    """Labelled images have a strong view, too."""

    @classmethod
    def batch(cls, *args, **kwargs):
        raw = super().batch(*args, **kwargs)
        raw['inputs']['x_s'] = (0.7 * raw['inputs']['x_w'].float()).to(torch.uint8)
        raw['inputs']['y_s'] = raw['inputs']['y'].clone()
        return raw

    @classmethod
    def edit(cls, cfg):
        strong = [dict(type='RandomCutout', prob=1.0)]
        cfg.train_dataloader.dataset.labelled_pipeline.insert(
            1, dict(type='StrongView', transforms=strong, mask=True)
        )
        cfg.find_unused_parameters = True


class TestABDBCP(StrongLabelsTester):
    config = 'abd/acdc_bcp.py'
    exact = dict(similar=1.0)


class TestABDCrossTeaching(StrongLabelsTester):
    config = 'abd/acdc_cross_teaching.py'
    exact = dict(trouble_prob=1.0)


class SeveralHeadsTester(MethodTester):
    """A small encoder with the decode head of the method's config."""

    head: dict = {}

    @classmethod
    def student(cls, name, channels, norm):
        if cls.axes == 3:
            return volume_segmentor(channels, norm, head=cls.head)
        widths = (4, 6, 8)
        head = dict(cls.head, in_channels=widths, num_classes=channels, norm_cfg=norm)
        encoder = dict(type='UNetEncoder', widths=widths, dropout=(0, 0, 0), norm_cfg=norm)
        return dict(type='EncoderDecoder', backbone=encoder, decode_head=head)


class TestURPC(SeveralHeadsTester):
    config = 'urpc/acdc.py'
    head = dict(type='UNetPyramidHead', noise=('scale',))

    @classmethod
    def step(cls, model, raw, seed=0):
        return super().step(model, raw)  # the noise is one draw for all images of a process


class TestMCNet(SeveralHeadsTester):
    config = 'mc_net/acdc.py'
    head = dict(type='MultiDecoderHead', upsample=('bilinear', 'transposed'))


class TestMCNetPlus(SeveralHeadsTester):
    config = 'mc_net_plus/acdc.py'
    head = dict(type='MultiDecoderHead', upsample=('bilinear', 'transposed', 'nearest'))


class DistancesTester(SeveralHeadsTester):
    """The labels come with their signed distances."""

    head = dict(type='UNetDistanceHead')

    @classmethod
    def student(cls, name, channels, norm):
        network = super().student(name, channels, norm)
        overlapping = cls.read().model.get('label_space', {}).get('type') == 'OverlappingParts'
        network['decode_head']['distances'] = channels if overlapping else channels - 1
        return network

    @classmethod
    def batch(cls, classes=2, side=None, seed=0):
        raw = super().batch(classes, side, seed)
        transform = SignedDistance(parts=[[i] for i in range(1, classes)], absent=1)
        maps = [transform(dict(gt=y.numpy()))['maps'] for y in raw['inputs']['y']]
        raw['inputs']['x_maps'] = torch.from_numpy(np.stack(maps))
        return raw

    @classmethod
    def edit(cls, cfg):
        pipeline = cfg.train_dataloader.dataset.labelled_pipeline
        pipeline.insert(len(pipeline) - 1, dict(type='SignedDistance'))


class TestDTC(DistancesTester):
    config = 'dtc/acdc.py'


class InStepsTester(MethodTester):
    """Several optimiser steps in an iteration; `loss` is the sum of theirs."""

    @classmethod
    def phases(cls, model):
        for phase in range((model.module if hasattr(model, 'module') else model).phases):
            set_phase(phase)
            yield phase
        set_phase(0)

    @classmethod
    def loss(cls, model, raw):
        terms = [MethodTester.loss(model, raw) for _ in cls.phases(model)]
        merged = {name: value for one in terms for name, value in one.items()}
        return {**merged, 'loss': sum(one['loss'] for one in terms)}

    @classmethod
    def step(cls, model, raw, seed=0):
        module = model.module if hasattr(model, 'module') else model
        learning = {k: p for k, p in module.named_parameters() if p.requires_grad}
        optimizer = torch.optim.SGD(learning.values(), lr=0.1)
        for _ in cls.phases(model):
            optimizer.zero_grad()
            MethodTester.loss(model, raw)['loss'].backward()
            optimizer.step()
        return {k: p.detach().clone() for k, p in learning.items()}


class TestSASSNet(InStepsTester, DistancesTester):
    config = 'sass_net/acdc.py'
    options = dict(discriminator=dict(widths=(4, 6)), ramp=dict(scale=1.0))
    exact = dict(discriminator=dict(widths=(4, 6), dropout=0.0))

    def test_unlabelled_images_alone_give_a_gradient(self):
        """The student; in its own step the discriminator has nothing but its term."""
        model = self.model()
        model.sup_loss = lambda *args: {}
        MethodTester.loss(model, self.batch())['loss'].backward()
        assert any(p.grad is not None and p.grad.any() for p in model.students.parameters())


class TestSSNet(MethodTester):
    config = 'ss_net/acdc.py'
    exact = dict(vat=dict(eps=0.0))


class TestMCCauSSL(SeveralHeadsTester):
    config = 'caussl/mc_acdc.py'
    options = dict(start=0, every=2, independence=dict(steps=2))
    head = dict(type='MultiDecoderHead', upsample=('transposed', 'bilinear', 'nearest'))


class TestSymGD(MethodTester):
    config = 'symgd/prostate.py'
    options = LOOSE
    exact = dict(amplitude=None)


class TestSymGDWithOverlappingParts(TestSymGD):
    config = 'symgd/fundus.py'


class TestUSTRUN(MethodTester):
    config = 'ust_run/prostate.py'
    options = dict(LOOSE, start=0, ceiling=1.0)
    exact = dict(type='USTRUNInOrder', amplitude=None)


class TestUSTRUNWithUnreliableParts(TestUSTRUN):
    config = 'ust_run/fundus.py'
    options = dict(TestUSTRUN.options, unreliable=True)


class TestBCMDA(MethodTester):
    config = 'bcmda/prostate.py'
    options = dict(LOOSE, same_domain=False)
    exact = dict(type='BCMDAWithoutDraws')

    @classmethod
    def batch(cls, *args, **kwargs):
        raw = super().batch(*args, **kwargs)
        raw['inputs']['box2'] = raw['inputs']['box'].roll(1, 0)
        return raw

    @classmethod
    def student(cls, name, channels, norm):
        return test_bcmda.with_prototypes(channels, norm)

    @classmethod
    def model(cls, *args, **kwargs):
        # they start with a length of 0.02 and divide their gradient, and its rounding, by it
        model = super().model(*args, **kwargs)
        for name, p in model.named_parameters():
            if name.endswith(('.mu1', '.mu2')):
                p.data *= 100
        return model

    @classmethod
    def edit(cls, cfg):
        pipeline = cfg.train_dataloader.dataset.unlabelled_pipeline
        if not any(step.get('key') == 'box2' for step in pipeline):
            pipeline.insert(-1, dict(type='RandomPasteBox', key='box2'))


class TestBCMDAWithOverlappingParts(TestBCMDA):
    config = 'bcmda/fundus.py'


class TestSCSSL(MethodTester):
    config = 'sc_ssl/acdc.py'
    exact = dict(norm_cfg=GN)


class SAMTester(MethodTester):
    """A student of a small SAM encoder with random weights, 32 px, and the config's kind of head.

    The head's logits, 8 px, are compared with labels of 8 px.
    """

    head: dict = {}
    options = dict(data_preprocessor=dict(sizes=dict(sam=dict(image=SIDE, label=SIDE // 4))))

    @classmethod
    def student(cls, name, channels, norm):
        if name != 'sam':
            return super().student(name, channels, norm)
        return sam_segmentor(channels, SIDE, **cls.head)

    @classmethod
    def model(cls, *args, **kwargs):
        model = super().model(*args, **kwargs)
        model.init_weights()  # reads the frozen trunk
        return model

    def test_the_trunk_is_one_and_in_no_checkpoint(self):
        model = self.model(teachers=['sam'])
        frozen = [
            network['sam'].backbone.frozen_tensors() for network in (model.students, model.teachers)
        ]
        assert frozen[0] and all(frozen[1][k] is value for k, value in frozen[0].items())
        stored = [name for name in model.state_dict() if '.trunk.' in name]
        assert stored and all('lora_' in name or 'adapter_' in name for name in stored)
        assert all(
            f'{part}.sam.backbone.identity.trunk_fingerprint' in model.state_dict()
            for part in ('students', 'teachers')
        )


class TestSAMed(SAMTester):
    config = 'samed/prostate.py'
    unlabelled = False


class TestSAMedWithLoRAInTheDecoder(SAMTester):
    config = 'samed/acdc_s.py'
    head = dict(lora_rank=2)
    unlabelled = False


class TestHSAM(SAMTester):
    config = 'h_sam/prostate.py'
    options = dict(data_preprocessor=dict(sizes=dict(sam=dict(image=SIDE))))
    head = dict(dropout=0.0, image_noise=0.05, map_softmax='positions', map_noise=True)
    unlabelled = False
    exact = dict(students=dict(sam=dict(decode_head=dict(image_noise=0.0, map_noise=False))))

    @classmethod
    def student(cls, *args):
        cfg = super().student(*args)
        cfg['decode_head']['type'] = 'HSAMHead'
        return cfg

    @staticmethod
    def loss(model, raw):
        torch.manual_seed(1)  # for the noise of the training
        return MethodTester.loss(model, raw)


class TestCPCSAM(SAMTester):
    """All terms in one sum."""

    config = 'cpc_sam/prostate.py'
    options = dict(
        cross_start=1,
        three_steps=False,
        data_preprocessor=dict(sizes=dict(sam=dict(image=SIDE, label=SIDE))),
    )
    exact = dict(students=dict(sam=dict(decode_head=dict(type='SeededCrossPromptHead'))))

    @classmethod
    def student(cls, *args):
        cfg = super().student(*args)
        cfg['decode_head']['type'] = 'CrossPromptHead'
        return cfg


class TestKnowSAM(SAMTester):
    """Both phases: patches are exchanged in the middle of the training. SAM learns from labels."""

    config = 'know_sam/acdc.py'
    options = dict(
        exchange_start=50, data_preprocessor=dict(sizes=dict(sam=dict(image=SIDE, label=SIDE)))
    )
    exact = dict(fusion=dict(norm_cfg=dict(type='GN', num_groups=1)))
    unlabelled = ('unet', 'vnet')

    @classmethod
    def student(cls, name, channels, norm):
        if name != 'sam':
            return super().student(name, channels, norm)
        return adapted_sam(channels, norm)


class TestSCSAM(TestKnowSAM):
    """What the U-Net learns from SAM has a constant weight, beside the labels."""

    config = 'sc_sam/prostate.py'
    options = dict(data_preprocessor=dict(sizes=dict(sam=dict(image=SIDE, label=SIDE))))
    exact = dict(train_points='spread')
    unlabelled = ('sam',)

    @classmethod
    def student(cls, name, channels, norm):
        student = super().student(name, channels, norm)
        if name == 'sam':
            student['decode_head']['frozen'] = False
        return student


class TestCPCSAMInThreeSteps(InStepsTester, TestCPCSAM):
    """Three optimiser steps in an iteration, as published."""

    options = dict(TestCPCSAM.options, three_steps=True)

    def test_unlabelled_images_alone_give_a_gradient(self):
        model = self.model()
        model.sup_loss = lambda *args: {}
        for phase in self.phases(model):
            if phase > 0:
                model.zero_grad()
                MethodTester.loss(model, self.batch())['loss'].backward()
                for decoder in model.students['sam'].decode_head.decoders:
                    assert any(p.grad is not None and p.grad.any() for p in decoder.parameters())


class TestSemiSAM(MethodTester):
    """The student is a U-Net; SAM is small, with random weights."""

    config = 'semi_sam/prostate.py'
    options = dict(
        sam=dict(_delete_=True, type='PromptedSAM', arch=ARCH, img_size=SIDE, random_trunk_seed=0)
    )
    exact = dict(noise_std=0.0)


class TestSemiSAMWithClicks(TestSemiSAM):
    options = dict(TestSemiSAM.options, prompt='point', clicks=2)
    exact = dict(TestSemiSAM.exact, prompt='box')


class TestSupOnlyOnVolumes(TestSupOnly):
    axes = 3


class TestFixMatchOnVolumes(TestFixMatch):
    axes = 3


class TestMeanTeacherOnVolumes(TestMeanTeacher):
    axes = 3


class TestUAMTOnVolumes(TestUAMT):
    axes = 3


class TestUniMatchOnVolumes(TestUniMatch):
    axes = 3


class TestUniMatchV2OnVolumes(TestUniMatchV2):
    axes = 3


class TestCrossMatchOnVolumes(TestCrossMatch):
    axes = 3


class TestCPSOnVolumes(TestCPS):
    axes = 3


class TestCPSCauSSLOnVolumes(TestCPSCauSSL):
    axes = 3


class TestBCPOnVolumes(TestBCP):
    axes = 3


class TestURPCOnVolumes(TestURPC):
    axes = 3
    head = dict(type='VNetPyramidHead', noise=('scale',))


class TestMCNetOnVolumes(TestMCNet):
    axes = 3
    head = dict(type='VNetMultiDecoderHead', upsample=('transposed', 'trilinear'))


class TestMCNetPlusOnVolumes(TestMCNetPlus):
    axes = 3
    head = dict(type='VNetMultiDecoderHead', upsample=('transposed', 'trilinear', 'nearest'))


class TestDTCOnVolumes(TestDTC):
    config = 'dtc/left_atrium.py'
    axes = 3
    head = dict(type='VNetDistanceHead')


class TestSASSNetOnVolumes(TestSASSNet):
    config = 'sass_net/left_atrium.py'
    axes = 3
    head = dict(type='VNetDistanceHead')


class TestSSNetOnVolumes(TestSSNet):
    axes = 3


class TestMCCauSSLOnVolumes(TestMCCauSSL):
    axes = 3
    head = dict(
        type='VNetMultiDecoderHead', upsample=('transposed', 'trilinear', 'nearest'), kernel=1
    )


class OfMonai:
    """A network of MONAI for volumes in the place of the V-Net."""

    axes = 3
    network: str

    @classmethod
    def student(cls, name, channels, norm):
        return monai_network(cls.network, channels)


class TestMeanTeacherOfDynUNets(OfMonai, TestMeanTeacher):
    network = 'DynUNet'  # its coarse heads learn, too


class TestFixMatchOfUNets(OfMonai, TestFixMatch):
    network = 'UNet'
