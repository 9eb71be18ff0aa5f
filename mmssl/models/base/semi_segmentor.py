"""The template of every method: students, teachers, and one loss made of two halves."""

import copy
import warnings
from collections.abc import Mapping, Sequence

import torch
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmssl.registry import MODELS, RAMPS
from mmssl.structures import Batch
from mmssl.utils.resize import resize_bilinear, resize_nearest


@MODELS.register_module()
class SemiSegmentor(BaseModel):
    """Train segmentors on labelled and unlabelled images: the base of all methods.

    `loss = sum of supervised terms + weight(t) x sum of unsupervised terms`.

    Used as it is, it learns from the labelled images alone. A method overrides `unsup_loss` and,
    where its students see more than the labelled images, `student_views`. The teachers are moved
    by `EMATeacherHook`; views come from the data pipeline.

    A batch is a dict of views, each a dict of student name to tensor: `x_w` (labelled, weak), `y`
    (its label), `u_w` and `u_s` (unlabelled, weak and strong), and where the pipeline makes them
    `x_s` with a label `y_s` of its own, and `u_s2`. `box` and `box2` (N, 4) are for all students.
    When `unsup_loss` is called `batch['logits'][student][view]` holds the students' logits.

    Args:
        students: name to config of a segmentor (any mmsegmentation segmentor); None drops one
            that a config inherits.
        teachers: names of the students that have an EMA teacher.
        sup_loss: loss of logits (N, C, H, W) and label (N, H, W), and a mask where a method
            passes one.
        ramp: weight of the unsupervised terms over the training.
        primary: student whose prediction is `pred_sem_seg`; the first one by default.
        parts: class ids of each part of the segmentation, e.g. [[1], [1, 2]] for cup and disc;
            by default those of the data set.
        label_space: `ExclusiveClasses` (softmax) or `OverlappingParts` (sigmoid for each part).
        data_preprocessor: config of the preprocessor.

    Raises:
        ValueError: if `teachers` or `primary` names a student that does not exist, the students
            differ in their channels, or one has an auxiliary head that would not learn.
    """

    together: tuple[tuple[str, ...], ...] = ()
    """Views that share one forward pass in a network with batch statistics."""

    several_heads: bool = False
    """Whether the auxiliary heads of a student learn, see `SeveralHeads`."""

    scores_parts: bool = True
    """Whether `parts` are those that the data set scores, and not those that a method asks for."""

    phases: int = 1
    """Optimiser steps that `SemiTrainLoop` makes in the iteration under way, one loss for each."""

    def __init__(
        self,
        students: Mapping[str, dict | None],
        teachers: Sequence[str] = (),
        sup_loss: dict | None = None,
        ramp: dict | None = None,
        primary: str | None = None,
        parts: Sequence[Sequence[int]] | None = None,
        label_space: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        students = {name: cfg for name, cfg in students.items() if cfg is not None}
        preprocessor = dict(data_preprocessor or {}, students=list(students))
        preprocessor.setdefault('type', 'SemiDataPreprocessor')
        super().__init__(MODELS.build(preprocessor), init_cfg)
        with warnings.catch_warnings():  # about the losses of the heads, which nobody asks
            warnings.filterwarnings('ignore', module='mmseg')
            built = {name: MODELS.build(cfg) for name, cfg in students.items()}
        self.students = nn.ModuleDict(built)
        self._check_names('teachers', teachers)
        self.teachers = nn.ModuleDict(
            {name: copy.deepcopy(self.students[name]) for name in teachers}
        )
        self.teachers.requires_grad_(False)
        self.register_load_state_dict_pre_hook(_teachers_from_students)
        self.primary = primary or next(iter(self.students))
        self._check_names('primary', [self.primary])
        channels = self._check_students()
        label_space = dict(label_space or dict(type='ExclusiveClasses'))
        self.label_space = MODELS.build({**label_space, 'parts': parts, 'num_channels': channels})
        self.criterion = MODELS.build(sup_loss or dict(type='DiceCELoss'))
        self.ramp = RAMPS.build(ramp or dict(type='GaussianRamp', stairs=200))

    def _check_names(self, option: str, names: Sequence[str]) -> None:
        unknown = [name for name in names if name not in self.students]
        if unknown:
            raise ValueError(
                f'{option} names {unknown}, but the students are {list(self.students)}'
            )

    def _check_students(self) -> int:
        channels = {name: student.out_channels for name, student in self.students.items()}
        if len(set(channels.values())) > 1:
            raise ValueError(
                f'The students have logits of different channels, {channels}: set '
                'num_classes in the heads of all to one number'
            )
        idle = [name for name, s in self.students.items() if s.with_auxiliary_head]
        if idle and not self.several_heads:
            raise ValueError(
                f'{type(self).__name__} trains the decode head of a student alone, '
                f'but {idle} have an auxiliary_head: set auxiliary_head=None there'
            )
        return channels[self.primary]

    def check_data(self, metainfo: Mapping) -> None:
        """Compare classes and parts with those of a data set, see `LabelSpace.meet`.

        Raises:
            ValueError: one of the two has classes or parts that the other does not have.
        """
        self.label_space.meet(metainfo, self.scores_parts)

    def init_weights(self) -> None:
        """Initialise the students and give every teacher its student's weights."""
        for student in self.students.values():
            student._dump_init_info = _say_nothing  # a list of all parameters helps nobody
            student.init_weights()
        for name, teacher in self.teachers.items():
            teacher.load_state_dict(self.students[name].state_dict())
        self._is_init = True

    @property
    def image_students(self) -> list[str]:
        """Names of the students that segment images; all of them by default."""
        return list(self.students)

    @property
    def iter(self) -> int:
        """Iteration under way, counted from 0."""
        return MessageHub.get_current_instance().get_info('iter', 0)

    @property
    def max_iters(self) -> int:
        """Number of iterations of the training."""
        return MessageHub.get_current_instance().get_info('max_iters', 1)

    @property
    def phase(self) -> int:
        """Optimiser step under way, of the `phases` of an iteration, counted from 0."""
        return MessageHub.get_current_instance().get_info('phase', 0)

    def forward(self, inputs: dict, data_samples=None, mode: str = 'tensor'):
        """Return losses (`loss`), predictions (`predict`) or the students' logits (`tensor`)."""
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return {
                name: self.students[name](inputs[name], mode='tensor')
                for name in self.image_students
            }
        raise ValueError(f"mode must be 'loss', 'predict' or 'tensor', found {mode!r}")

    def loss(self, inputs: dict, data_samples=None) -> dict[str, Tensor]:
        """Return the total under `loss` and every term under its own name.

        Args:
            inputs: the batch as described in the class.
            data_samples: not used; what is known of the images, for plug-ins.
        """
        batch = Batch(inputs)
        views = {'x_w': batch['x_w'], **self.student_views(batch)}
        batch['logits'] = {
            name: self.forward_views(name, {v: x[name] for v, x in views.items() if name in x})
            for name in self.students
        }
        sup = self.sup_loss(batch)
        unsup = self.unsup_loss(batch)
        weight = self.ramp(self.iter, self.max_iters)
        total = sum(sup.values())
        if unsup:
            total = total + weight * sum(unsup.values())
        logged = {k: v.detach() for k, v in {**sup, **unsup, **batch.get('curves', {})}.items()}
        return {'loss': total, **logged, 'weight': total.detach().new_full((), weight)}

    def student_views(self, batch: dict) -> dict[str, dict[str, Tensor]]:
        """Return what the students see next to `x_w`, view to student to images.

        By default nothing. A view may be missing for a student; `x_w` itself may be replaced.
        """
        return {}

    def sup_loss(self, batch: dict) -> dict[str, Tensor]:
        """Return the supervised term of every student that sees `x_w`, `sup_<name>`."""
        return {
            f'sup_{name}': self.criterion(logits['x_w'], self.label_space.encode(batch['y'][name]))
            for name, logits in batch['logits'].items()
            if 'x_w' in logits
        }

    def unsup_loss(self, batch: dict) -> dict[str, Tensor]:
        """Return the unsupervised terms; by default none."""
        return {}

    def forward_views(self, name: str, views: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return a student's logits on several views.

        All views go through one call where the network treats every image by itself; a network
        with batch statistics sees one view after the other, or those of a group in `together`
        at once, as the published code of the method does.
        """
        student, logits = self.students[name], {}
        same_size = len({x.shape[1:] for x in views.values()}) == 1
        if same_size and not has_batch_statistics(student):
            groups = [tuple(views)]
        else:
            joined = {view for group in self.together for view in group}
            groups = [*self.together, *((view,) for view in views if view not in joined)]
        for group in groups:
            group = [view for view in group if view in views]
            if group:
                x = torch.cat([views[view] for view in group])
                joint = self.to_label_size(name, student(x, mode='tensor'), x)
                parts = joint.split([len(views[v]) for v in group])
                logits.update(zip(group, parts, strict=True))
        return logits

    def to_label_size(self, name: str, logits: Tensor, x: Tensor) -> Tensor:
        """Resize logits bilinearly to the student's label size, else to that of its images x."""
        side = self.data_preprocessor.sizes.get(name, {}).get('label')
        return resize_bilinear(logits.float(), x.shape[-2:] if side is None else (side, side))

    @torch.no_grad()
    def teacher_prob(self, name: str, x: Tensor) -> Tensor:
        """Return a teacher's class probabilities (N, C, H, W) on its own view."""
        logits = self.to_label_size(name, self.teachers[name](x, mode='tensor'), x)
        return self.label_space.prob(logits)

    @torch.no_grad()
    def student_prob(self, name: str, x: Tensor) -> Tensor:
        """Return a student's class probabilities (N, C, H, W) in eval mode, without dropout."""
        student = self.students[name]
        was_training = student.training
        student.eval()
        logits = self.to_label_size(name, student(x, mode='tensor'), x)
        student.train(was_training)
        return self.label_space.prob(logits)

    @torch.no_grad()
    def predict_logits(self, inputs: dict, name: str, teacher: bool = False) -> Tensor:
        """Return scores of the classes (N, C, H, W) at the size of the network's input.

        Args:
            inputs: student name to images, as the preprocessor gives them at test time.
            name: student, or the student of the teacher.
            teacher: ask the teacher instead.
        """
        network = (self.teachers if teacher else self.students)[name]
        logits = network(inputs[name], mode='tensor').float()
        return self.label_space.class_scores(resize_bilinear(logits, inputs[name].shape[-2:]))

    def predict(self, inputs: dict, data_samples: list) -> list:
        """Add every student's prediction to the data samples.

        A prediction is the most probable class at the network's input size, brought to the size
        of the sample's label (else of its original image) on the corner-aligned nearest grid.
        """
        names = [self.primary, *(n for n in self.image_students if n != self.primary)]
        for name in names:
            classes = self.predict_logits(inputs, name).argmax(1).to(torch.uint8)
            for one, sample in zip(classes, data_samples, strict=True):
                shape = sample.gt_sem_seg.shape if 'gt_sem_seg' in sample else sample.ori_shape
                pred = resize_nearest(one[None], tuple(shape[-2:]))
                sample.set_field(PixelData(data=pred), f'pred_{name}')
        for sample in data_samples:
            sample.pred_sem_seg = sample.get(f'pred_{self.primary}').clone()
            sample.set_metainfo({'students': names})
        return data_samples

    def pseudo_labels(self, inputs: dict) -> dict[str, Tensor]:
        """Return the class maps (N, H, W) of every teacher, for diagnosis."""
        return {
            name: self.predict_logits(inputs, name, teacher=True).argmax(1)
            for name in self.teachers
        }


def _teachers_from_students(model: SemiSegmentor, state_dict: dict, prefix: str, *args) -> None:
    """Let weights without teachers (converted or published ones) be the teachers' too."""
    if any(key.startswith(f'{prefix}teachers.') for key in state_dict):
        return
    for name in model.teachers:
        student = f'{prefix}students.{name}.'
        for key in [key for key in state_dict if key.startswith(student)]:
            state_dict[f'{prefix}teachers.{name}.{key.removeprefix(student)}'] = state_dict[key]


def _say_nothing() -> None:
    """Take the place of mmengine's list of how each parameter was initialised."""


def has_batch_statistics(network: nn.Module) -> bool:
    """Return whether an image's result depends on the others of its batch."""
    return any(isinstance(m, _BatchNorm) and m.training for m in network.modules())
