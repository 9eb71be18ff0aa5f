"""What an exported file computes: from the grey values of an image to a score for each class."""

import copy

import torch
from torch import Tensor, nn

from mmssl.models.base.semi_segmentor import SemiSegmentor
from mmssl.models.sam.adapters import merge_adapters
from mmssl.utils.errors import SettingError
from mmssl.utils.resize import resize_nearest


class ExportedNetwork(nn.Module):
    """One prediction of a model: grey values 0 to 255 in, scores of the classes out.

    Of a model of whole volumes it is one window: normalised intensities in, scores out. Where the
    windows lie and how they are averaged is told beside it.

    What the preprocessor does beyond resizing, channels and normalisation, is a part of it.

    Args:
        model: a trained model.
        output: the prediction, one of `known_outputs`.
        teacher: that of the student's teacher instead.

    Raises:
        SettingError: the model has no such prediction.
    """

    def __init__(self, model: nn.Module, output: str | None = None, teacher: bool = False) -> None:
        super().__init__()
        if not isinstance(model, SemiSegmentor) or not model.outputs:
            raise SettingError(
                f'{type(model).__name__} has no student that segments images: export a model whose '
                'config names `students`'
            )
        output = output or model.outputs[0]
        if output not in known_outputs(model):
            raise SettingError(
                f'--student is "{output}", but the model has {", ".join(known_outputs(model))}'
            )
        if teacher and output not in model.teachers:
            known = ', '.join(model.teachers) or 'none'
            raise SettingError(
                f'"{output}" has no teacher (those with one: {known}): leave --teacher out'
                + (', or name another --student' if model.teachers else '')
            )
        self.window = model.inferer
        if model.inferer is not None:
            model = copy.copy(model)  # the same networks
            model.inferer = None
        self.model, self.output, self.teacher = model, output, teacher
        self.alone = output in model.image_students
        self.students = [output] if self.alone else model.image_students

    @property
    def lead(self) -> str:
        """Name of the student at whose size the image comes."""
        return self.output if self.alone else self.model.primary

    @property
    def side(self) -> int | None:
        """Side of its images in pixels; None where the model does not state one."""
        size = self.model.data_preprocessor.sizes.get(self.lead, {}).get('image')
        return int(size) if size else None

    def forward(self, image: Tensor) -> Tensor:
        """Return scores (N, classes, H, W) of images (N, C, H, W), or of windows of volumes."""
        inputs = {name: self.view_of(name, image) for name in self.students}
        scores: Tensor = self.model.predict_logits(inputs, self.output, self.teacher)
        return scores

    def view_of(self, name: str, image: Tensor) -> Tensor:
        """Return what a student sees of an image at the size of the lead."""
        preprocessor = self.model.data_preprocessor
        own = preprocessor.sizes.get(name, {}).get('image')
        if name != self.lead and own:
            image = resize_nearest(image, (own, own))
        view: Tensor = preprocessor.view_of(name, image)
        return view

    def alone_and_merged(self) -> 'ExportedNetwork':
        """Return a copy without the networks it does not ask, and with LoRA in the weights."""
        model = self.model
        kept = nn.ModuleDict()
        if self.teacher:
            teachers = nn.ModuleDict({self.output: model.teachers[self.output]})
        else:
            teachers = nn.ModuleDict()
            names = self.students if self.alone else list(model.students)
            kept = nn.ModuleDict({name: model.students[name] for name in names})
        small = copy.copy(model)
        small._modules = dict(model._modules)
        small.students, small.teachers = kept, teachers
        if self.alone:
            for name in set(small._modules) - set(ASKED):
                del small._modules[name]
        small = copy.deepcopy(small)
        merge_adapters(small)
        network = copy.copy(self)
        network._modules = {}
        network.model = small
        return network.eval()


ASKED = ('data_preprocessor', 'label_space', 'students', 'teachers')
"""Parts of a model that the prediction of a single student needs."""


def known_outputs(model: SemiSegmentor) -> list[str]:
    """Return the names of all predictions of a model: its own, and those of every student."""
    return list(dict.fromkeys([*model.outputs, *model.students]))


@torch.no_grad()
def takes_size(network: nn.Module, image: Tensor) -> str:
    """Return why a network does not take an image; nothing where it does."""
    try:
        network(image)
    except (AssertionError, RuntimeError, ValueError) as error:
        return ' '.join(str(error).split()) or type(error).__name__
    return ''
