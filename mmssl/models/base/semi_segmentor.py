"""The template of every method: students, teachers, and one loss made of two halves."""

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmssl.models.base.label_space import ExclusiveClasses, OverlappingParts
from mmssl.models.base.normalisation import own_normalisation
from mmssl.models.base.sliding_window import SlidingWindow
from mmssl.models.base.terms import Logits, Losses, Views, check_terms, split_curves
from mmssl.models.losses.deep_supervision import DeepSupervisionLoss, split_coarse
from mmssl.models.strategies.mixing import boxes_at
from mmssl.registry import MODELS, RAMPS
from mmssl.structures import Batch, Step, element
from mmssl.utils.resize import as_size, classes_at, resize_linear


@MODELS.register_module()
class SemiSegmentor(BaseModel):
    """Train segmentors on labelled and unlabelled images: the base of all methods.

    `loss = sum of supervised terms + weight(t) x sum of unsupervised terms`.

    Used as it is, it learns from the labelled images alone. A method says in `prepare` what its
    students see next to those and what they are taught, and in `unsup_loss` how they are judged by
    it. The teachers are moved by `EMATeacherHook`; views come from the data pipeline.

    A `Batch` is a dict of views, each a dict of student name to tensor: `x_w` (labelled, weak), `y`
    (its label), `u_w` and `u_s` (unlabelled, weak and strong), and where the pipeline makes them
    `x_s` with a label `y_s` of its own, `u_s2` and others (`mmssl.structures.view_name`). `box` and
    `box2` are for all students. `batch.about('domain')` says where the images come from.

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
        inferer: `SlidingWindow`, how images larger than a network sees at once are predicted; by
            default the whole image goes through the network.

    Raises:
        ValueError: if `teachers` or `primary` names a student that does not exist, the students
            differ in their channels, or one has an auxiliary head that would not learn, or a
            preprocessor of its own that cannot be taken over.
    """

    together: tuple[tuple[str, ...], ...] = ()
    """Views that share one forward pass in a network with batch statistics."""

    several_heads: bool = False
    """Whether the auxiliary heads of a student learn, see `SeveralHeads`."""

    scores_parts: bool = True
    """Whether `parts` are those that the data set scores, and not those that a method asks for."""

    step: Step = Step()
    """Where the training stands; the training loop sets it before each optimiser step."""

    label_space: ExclusiveClasses | OverlappingParts

    def __init__(
        self,
        *,
        students: Mapping[str, dict[str, Any] | None],
        teachers: Sequence[str] = (),
        sup_loss: dict[str, Any] | None = None,
        ramp: dict[str, Any] | None = None,
        primary: str | None = None,
        parts: Sequence[Sequence[int]] | None = None,
        label_space: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        inferer: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        students = {name: cfg for name, cfg in students.items() if cfg is not None}
        with warnings.catch_warnings():  # about the losses of the heads, which nobody asks
            warnings.filterwarnings('ignore', module='mmseg')
            built = {name: MODELS.build(cfg) for name, cfg in students.items()}
        super().__init__(MODELS.build(_preprocessor(data_preprocessor, built)), init_cfg)
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
        if any(getattr(student, 'deep_supervision', False) for student in built.values()):
            self.criterion = DeepSupervisionLoss(self.criterion)
        self.ramp = RAMPS.build(ramp or dict(type='GaussianRamp', stairs=200))
        self.inferer: SlidingWindow | None = MODELS.build(dict(inferer)) if inferer else None

    def _check_names(self, option: str, names: Sequence[str]) -> None:
        unknown = [name for name in names if name not in self.students]
        if unknown:
            raise ValueError(
                f'{option} names {unknown}, but the students are {list(self.students)}'
            )

    def _check_students(self) -> int:
        students: dict[str, Any] = dict(self.students.items())
        channels: dict[str, int] = {name: s.out_channels for name, s in students.items()}
        if len(set(channels.values())) > 1:
            raise ValueError(
                f'The students have logits of different channels, {channels}: set '
                'num_classes in the heads of all to one number'
            )
        idle = [name for name, s in students.items() if s.with_auxiliary_head]
        if idle and not self.several_heads:
            raise ValueError(
                f'{type(self).__name__} trains the decode head of a student alone, '
                f'but {idle} have an auxiliary_head: set auxiliary_head=None there'
            )
        return channels[self.primary]

    def check_data(self, metainfo: Mapping[str, Any]) -> None:
        """Compare classes and parts with those of a data set, see `LabelSpace.meet`.

        Raises:
            ValueError: one of the two has classes or parts that the other does not have.
        """
        self.label_space.meet(metainfo, self.scores_parts)

    def init_weights(self) -> None:
        """Initialise the students and give every teacher its student's weights."""
        student: Any
        for student in self.students.values():
            student._dump_init_info = _say_nothing  # a list of all parameters helps nobody
            student.init_weights()
        for name, teacher in self.teachers.items():
            teacher.load_state_dict(self.students[name].state_dict())
        self._is_init = True

    @property
    def phases(self) -> int:
        """Optimiser steps of the iteration under way in `SemiTrainLoop`, one loss for each."""
        return 1

    @property
    def image_students(self) -> list[str]:
        """Names of the students that segment images; all of them by default."""
        return list(self.students)

    @property
    def outputs(self) -> list[str]:
        """Names of the predictions, the one that is `pred_sem_seg` first: those of the students.

        A method whose prediction is no student's, such as a map fused of two, gives it a name of
        its own here and answers to it in `predict_logits`.
        """
        return [self.primary, *(name for name in self.image_students if name != self.primary)]

    def forward(
        self, inputs: dict[str, Any], data_samples: Any = None, mode: str = 'tensor'
    ) -> Any:
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

    def loss(
        self, inputs: Mapping[str, Any], data_samples: Mapping[str, Sequence[Any]] | None = None
    ) -> dict[str, Tensor]:
        """Return the total under `loss` and every term and curve under its own name.

        Args:
            inputs: the views as described in the class.
            data_samples: what is known of the `labelled` and of the `unlabelled` images.

        Raises:
            ValueError: a term is no scalar, has no gradient, or a name that is taken.
        """
        batch, step = Batch(inputs, data_samples), self.step
        views, targets = self.prepare(batch, step)
        views = {'x_w': batch['x_w'], **views}
        logits = self.forward_students(batch, views, step)
        sup, of_sup = split_curves(self.sup_loss(batch, logits, targets, step))
        unsup, curves = split_curves(self.unsup_loss(batch, logits, targets, step))
        curves = {**of_sup, **curves}
        check_terms(type(self).__name__, sup, unsup, curves)
        weight = self.ramp(step.iter, step.max_iters)
        total = cast(Tensor, sum(sup.values()))
        if unsup:
            total = total + weight * sum(unsup.values())
        logged = {name: value.detach() for name, value in {**sup, **unsup, **curves}.items()}
        return {'loss': total, **logged, 'weight': weight * torch.ones_like(total.detach())}

    def prepare(self, batch: Batch, step: Step) -> tuple[Views, Any]:
        """Return what the students see next to `x_w`, and what they are taught.

        Args:
            batch: the views.
            step: where the training stands.

        Returns:
            View to student to images (N, C, H, W), and anything that the two losses need. A view
            may be missing for a student; `x_w` itself may be replaced. By default nothing.
        """
        return {}, None

    def forward_students(
        self, batch: Batch, views: Mapping[str, Mapping[str, Tensor]], step: Step
    ) -> dict[str, dict[str, Any]]:
        """Return student to view to logits: each student by itself on the views it sees.

        A method overrides it where a student needs the batch or what another student says.
        """
        return {
            name: self.forward_views(name, {v: x[name] for v, x in views.items() if name in x})
            for name in self.students
        }

    def sup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return the supervised term of every student that sees `x_w`, `sup_<name>`.

        Args:
            batch: the views.
            logits: student to view to logits (N, C, H, W).
            targets: what `prepare` returned.
            step: where the training stands.
        """
        return {
            f'sup_{name}': self.criterion(z['x_w'], self.label_space.encode(batch['y'][name]))
            for name, z in logits.items()
            if 'x_w' in z
        }

    def unsup_loss(self, batch: Batch, logits: Logits, targets: Any, step: Step) -> Losses:
        """Return the unsupervised terms, and behind them curves to be logged if there are any.

        Args:
            batch: the views.
            logits: student to view to logits (N, C, H, W).
            targets: what `prepare` returned.
            step: where the training stands.
        """
        return {}

    def forward_views(self, name: str, views: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return a student's logits on several views.

        All views go through one call where the network treats every image by itself; a network
        with batch statistics sees one view after the other, or those of a group in `together`
        at once, as the published code of the method does.
        """
        student = self.students[name]
        logits: dict[str, Tensor] = {}
        same_size = len({x.shape[1:] for x in views.values()}) == 1
        if same_size and not has_batch_statistics(student):
            groups: list[tuple[str, ...]] = [tuple(views)]
        else:
            joined = {view for group in self.together for view in group}
            groups = [*self.together, *((view,) for view in views if view not in joined)]
        for group in groups:
            seen = [view for view in group if view in views]
            if seen:
                x = torch.cat([views[view] for view in seen])
                found = student(x, mode='tensor')
                joint = self.to_label_size(name, found, x)
                parts = split_coarse(found, joint, [len(views[view]) for view in seen])
                logits.update(zip(seen, parts, strict=True))
        return logits

    def inside(self, batch: Batch, key: str, x: Tensor) -> Tensor:
        """Return masks (N, 1, h, w) of the boxes of a batch at the size of x, see `box_mask`.

        Args:
            batch: the views.
            key: `box` or `box2`.
            x: images or labels, (N, ..., h, w); volumes have an axis more.
        """
        return boxes_at(batch[key], batch['u_w'][self.primary], x)

    def to_label_size(self, name: str, logits: Tensor, x: Tensor) -> Tensor:
        """Resize logits linearly to the student's label size, else to that of its images x."""
        side = self.data_preprocessor.sizes.get(name, {}).get('label')
        size = x.shape[2:] if side is None else as_size(side, x.dim() - 2)
        return resize_linear(logits.float(), size)

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
    def predict_logits(self, inputs: dict[str, Tensor], name: str, teacher: bool = False) -> Tensor:
        """Return scores of the classes (N, C, H, W) at the size of the network's input.

        With an inferer they are the logarithm of the mean probabilities of its windows.

        Args:
            inputs: student name to images, as the preprocessor gives them at test time.
            name: student, or the student of the teacher.
            teacher: ask the teacher instead.
        """
        network = (self.teachers if teacher else self.students)[name]

        def scores(x: Tensor) -> Tensor:
            logits: Tensor = network(x, mode='tensor').float()
            return self.label_space.class_scores(resize_linear(logits, x.shape[2:]))

        return self.inferer(inputs[name], scores) if self.inferer else scores(inputs[name])

    def scores(
        self,
        inputs: dict[str, Tensor],
        data_samples: Sequence[Any],
        name: str,
        teacher: bool = False,
    ) -> Sequence[Tensor]:
        """Return the class scores (C, h, w) of each image, the highest of which is predicted.

        Their softmax over the classes are probabilities.

        Args:
            inputs: the images as the preprocessor gives them at test time.
            data_samples: what is known of the images.
            name: one of `outputs`, or a student.
            teacher: ask the student's teacher instead.
        """
        return [*self.predict_logits(inputs, name, teacher)]

    def predict(self, inputs: dict[str, Tensor], data_samples: list[Any]) -> list[Any]:
        """Add all predictions, those of the students as a rule, to the data samples.

        A prediction is the most probable class at the size of the sample's label (else of its
        original image): the classes at the network's input size on the corner-aligned nearest
        grid, or of a volume that was resampled the probabilities, linearly (`classes_at`).
        """
        names = self.outputs
        for name in names:
            _add_prediction(name, self.predict_logits(inputs, name), data_samples)
        for sample in data_samples:
            sample.pred_sem_seg = sample.get(f'pred_{names[0]}').clone()
            sample.set_metainfo({'students': names})
        return data_samples

    def pseudo_labels(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the class maps (N, H, W) of every teacher, for diagnosis."""
        return {
            name: self.predict_logits(inputs, name, teacher=True).argmax(1)
            for name in self.teachers
        }


def _add_prediction(name: str, logits: Tensor, data_samples: Sequence[Any]) -> None:
    """Add what is predicted; the scores of a volume, which are large, end with this function."""
    for one, sample in zip(logits, data_samples, strict=True):
        shape = sample.gt_sem_seg.shape if 'gt_sem_seg' in sample else sample.ori_shape
        pred = classes_at(one[None], tuple(shape[1 - one.dim() :]))
        sample.set_field(element(pred), f'pred_{name}')


def _preprocessor(
    given: Mapping[str, Any] | None, students: Mapping[str, nn.Module]
) -> dict[str, Any]:
    """Return the config of the preprocessor, with what the students' own ones ask for."""
    cfg = {'type': 'SemiDataPreprocessor', **(given or {}), 'students': list(students)}
    sizes = {name: dict(size) for name, size in (cfg.get('sizes') or {}).items()}
    for name, student in students.items():
        if own := own_normalisation(name, student):
            sizes[name] = {**own, **sizes.get(name, {})}
    return {**cfg, 'sizes': sizes} if sizes else cfg


def _teachers_from_students(
    model: SemiSegmentor, state_dict: dict[str, Any], prefix: str, *_: Any
) -> None:
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
