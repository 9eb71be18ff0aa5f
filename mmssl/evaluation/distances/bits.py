"""Masks with 64 pixels in a word: counted, and shifted whole."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

WORD = 64
GAP = 16  # background pixels behind each row: no shift along it that is shorter reaches the next


def count(words: np.ndarray) -> int:
    """Return how many bits are set in a contiguous array of words.

    Example:
        >>> count(np.array([3, 8], np.uint64))
        3
    """
    return int(cv2.norm(words.reshape(1, -1).view(np.uint8), cv2.NORM_HAMMING))


def shifted(words: np.ndarray, by: int) -> np.ndarray:
    """Return rows (..., n) moved by less than a word, to later pixels or, if negative, earlier."""
    bits, rest = np.uint64(abs(by)), np.uint64(WORD - abs(by))
    if by > 0:
        moved = words << bits
        moved[..., 1:] |= words[..., :-1] >> rest
    else:
        moved = words >> bits
        moved[..., :-1] |= words[..., 1:] << rest
    return moved


@dataclass(frozen=True)
class PackedMasks:
    """Masks of one shape as words.

    Args:
        words: (n, D, H * `row`) for n masks; a plane is a volume of one slice.
        shape: (H, W) or (D, H, W) of each.
        row: words of a row of pixels; at least its last `GAP` bits are background.
    """

    words: np.ndarray
    shape: tuple[int, ...]
    row: int

    @classmethod
    def of(cls, masks: Sequence[np.ndarray], box: tuple[slice, ...] | None = None) -> 'PackedMasks':
        """Pack a box of boolean masks; None takes them whole.

        Example:
            >>> PackedMasks.of([np.eye(3, dtype=bool)]).counts()
            [3]
        """
        box = box or (slice(None),) * masks[0].ndim
        shape = masks[0][box].shape
        row = -(-(shape[-1] + GAP) // WORD)
        wide = np.zeros((len(masks), *shape[:-1], row * WORD), bool)
        for place, mask in zip(wide, masks, strict=True):
            place[..., : shape[-1]] = mask[box]
        words = np.packbits(wide, bitorder='little').view('<u8')
        levels = shape[0] if len(shape) == 3 else 1
        return cls(words.reshape(len(masks), levels, -1), shape, row)

    def counts(self) -> list[int]:
        """Return how many pixels each mask has."""
        return [count(words) for words in self.words]

    def surfaces(self) -> 'PackedMasks':
        """Return the object pixels of each that touch the background, or the end, across a face."""
        words, row = self.words, self.row
        inside = shifted(words, 1)
        inside &= shifted(words, -1)
        inside &= words
        inside[..., row:] &= words[..., :-row]
        inside[..., :row] = 0
        inside[..., :-row] &= words[..., row:]
        inside[..., -row:] = 0
        if len(self.shape) == 3:
            inside[:, 1:] &= words[:, :-1]
            inside[:, :-1] &= words[:, 1:]
            inside[:, [0, -1]] = 0
        return PackedMasks(words ^ inside, self.shape, row)

    def mask(self, number: int) -> np.ndarray:
        """Return one of the masks, boolean."""
        bits = np.unpackbits(self.words[number].view(np.uint8), bitorder='little').view(bool)
        return bits.reshape(*self.shape[:-1], -1)[..., : self.shape[-1]]

    def places(self, number: int) -> np.ndarray:
        """Return the coordinates (ndim, k) of the pixels of one mask, in rising order.

        It is what `numpy.argwhere` finds, faster.
        """
        bits = np.unpackbits(self.words[number].view(np.uint8), bitorder='little')
        flat = np.flatnonzero(bits.view(bool))
        places = np.empty((len(self.shape), len(flat)), np.int64)
        sizes = (*self.shape[:-1], self.row * WORD)
        for axis in range(len(sizes) - 1, 0, -1):
            above = flat // sizes[axis]
            places[axis] = flat - above * sizes[axis]
            flat = above
        places[0] = flat
        return places
