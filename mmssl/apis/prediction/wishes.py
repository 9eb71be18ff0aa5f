"""What is predicted, and how."""

from dataclasses import dataclass, field
from typing import NamedTuple

from mmssl.apis.inference import Image
from mmssl.apis.prediction.cleaning import Cleaning
from mmssl.apis.prediction.networks import TURNS


class Chosen(NamedTuple):
    """A file, or one of several series of a DICOM folder.

    Attributes:
        path: the file or folder.
        series: UID of the series.
    """

    path: Image
    series: str | None = None


@dataclass(frozen=True)
class Wishes:
    """How to predict; options of `predict`.

    Args:
        student: the student to ask; None is the model's first.
        teacher: ask the teacher in its place.
        ensemble: ask all students, or all teachers, and average their probabilities.
        tta: test-time augmentation: `none`, `flips` (4), `turns` (4 quarter turns) or `all` (8).
            Of whole volumes there is `flips` alone, along all three axes (8).
        smooth: bring the probabilities to the image's size before the class is chosen, for edges
            without steps; otherwise the classes are, as the scores of the tables are computed.
            Of whole volumes the probabilities are always brought there.
        cleaning: rules for the components of the parts.
        probabilities: keep the probabilities of the classes.
        uncertainty: keep entropy and disagreement; this asks all students and teachers.
        batch_size: images or slices in one forward pass; whole volumes go one by one, in windows
            as the model's inferer says.
        domain: whose options are used, where the domains of the config are not read alike.
        frame: which volume of a file of several, from 0.
        series: which series of a folder of several, by UID, number or description.
        value_range: the intensities that become 0 and 255, `(low, high)` or 'volume' for the
            smallest and largest of each file, in place of the config's; for a model that was
            trained on prepared images, and raw files. Not for whole volumes.

    Raises:
        ValueError: `tta` or `batch_size` is not among what there is.
    """

    student: str | None = None
    teacher: bool = False
    ensemble: bool = False
    tta: str = 'none'
    smooth: bool = False
    cleaning: Cleaning = field(default_factory=Cleaning)
    probabilities: bool = False
    uncertainty: bool = False
    batch_size: int = 8
    domain: str | None = None
    frame: int | None = None
    series: str | int | None = None
    value_range: tuple[float, float] | str | None = None

    def __post_init__(self) -> None:
        if self.tta not in TURNS:
            raise ValueError(f'tta = "{self.tta}" is not known (known: {", ".join(TURNS)}).')
        if self.batch_size < 1:
            raise ValueError(f'batch_size = {self.batch_size} must be at least 1.')
