"""What is wrong with a download, found before anything is written."""

from typing import NamedTuple


class Fault(NamedTuple):
    """One thing that is not as it should be.

    Attributes:
        where: the case, file or data set.
        what: one sentence.
    """

    where: str
    what: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f'{self.where}: {self.what}'


class Unfit(ValueError):
    """A file or a case cannot be used; `sentences` say all that is wrong with it."""

    def __init__(self, *sentences: str) -> None:
        super().__init__(' '.join(sentences))
        self.sentences = sentences
