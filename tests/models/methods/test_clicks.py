import torch

from mmssl.models.methods.semi_sam.clicks import click_masks, next_click


def square(side: int, y1: int, x1: int, y2: int, x2: int) -> torch.Tensor:
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[y1 : y2 + 1, x1 : x2 + 1] = True
    return mask


def test_the_only_wrong_pixel_is_clicked():
    wanted = torch.stack([square(8, 2, 2, 4, 4)] * 3)
    given = wanted.clone()
    given[0, 3, 4] = False  # missing
    given[1, 7, 0] = True  # in excess
    xy, label = next_click(wanted, given)
    assert xy.tolist() == [[4, 3], [0, 7], [0, 0]] and label.tolist() == [1, 0, -1]


def test_inner_clicks_go_into_the_deeper_error():
    """A missing square of 5 px is 3 deep, an excess of 3 px is 2 deep."""
    wanted, given = square(20, 0, 0, 4, 4), square(20, 10, 10, 12, 12)
    clicks = [next_click(wanted, given, inner=True) for _ in range(60)]
    assert {label.item() for _, label in clicks} == {1}
    # deeper than 1.5: not the outermost ring, at the border of the picture neither
    assert {tuple(xy.int().tolist()) for xy, _ in clicks} == {
        (x, y) for x in (1, 2, 3) for y in (1, 2, 3)
    }
    xy, label = next_click(square(20, 0, 0, 1, 1), given, inner=True)
    assert xy.tolist() == [11, 11] and label == 0


def test_inner_clicks_where_nothing_or_everything_is_wrong():
    whole, none = torch.ones(5, 5, dtype=torch.bool), torch.zeros(5, 5, dtype=torch.bool)
    assert next_click(whole, whole, inner=True)[1] == -1 == next_click(none, none, inner=True)[1]
    xy, label = next_click(whole, none, inner=True)
    assert label == 1 and ((xy >= 1) & (xy <= 3)).all()


class Painter:
    """A SAM of 16 px that sets the pixels (of 8) that are clicked; it adds to the mask it gets."""

    img_size = 16

    def __init__(self):
        self.seen = []

    def masks(self, embedding, points, masks=None):
        xy, labels = points
        self.seen.append((xy.clone(), labels.clone(), masks))
        logits = (
            torch.full((*labels.shape[:2], 8, 8), -1.0)
            if masks is None
            else (torch.where(masks == 0, -1.0, masks))
        )
        for p in range(labels.shape[2]):
            n, k = torch.meshgrid(*(torch.arange(s) for s in labels.shape[:2]), indexing='ij')
            x, y = ((xy[:, :, p] - 0.5) / 2).round().long().unbind(-1)
            here = logits[n, k, y, x]
            logits[n, k, y, x] = torch.where(
                labels[:, :, p] < 0, here, torch.where(labels[:, :, p] == 1, 1.0, -1.0)
            )
        return logits


def test_an_answer_without_a_wrong_pixel_is_not_looked_at():
    """SAM answers the first click rightly and any other one with an empty mask."""
    answers = iter([1.0, -1.0, -1.0])
    sam = Painter()
    sam.masks = lambda *args, **kwargs: torch.full((1, 1, 8, 8), next(answers))
    wanted = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    assert (click_masks(sam, torch.zeros(1, 4, 2, 2), wanted, clicks=3) == 1).all()


def test_clicks_repair_the_mask_and_then_it_stays():
    wanted = torch.zeros(1, 2, 8, 8, dtype=torch.bool)
    wanted[0, 0, 3, 2:5] = True  # three pixels, the second mask wants nothing
    for feedback in (True, False):
        sam = Painter()
        logits = click_masks(sam, torch.zeros(1, 4, 2, 2), wanted, clicks=5, feedback=feedback)
        assert torch.equal(logits > 0.5, wanted)
        assert len(sam.seen) == 5
        labels = [seen[1][0, 0].tolist() for seen in sam.seen]
        if feedback:
            assert labels == [[1], [1], [1], [-1], [-1]]
            assert (sam.seen[0][2] == 0).all() and sam.seen[0][2].shape == (1, 2, 8, 8)
            assert (sam.seen[2][2][0, 0] > 0.5).sum() == 2
        else:
            assert labels == [[1], [1, 1], [1, 1, 1], [1, 1, 1, -1], [1, 1, 1, -1, -1]]
            assert all(seen[2] is None for seen in sam.seen)
        xy = torch.cat([seen[0][0, 0, -1:] for seen in sam.seen[:3]])
        assert sorted(xy.tolist()) == [[4.5, 6.5], [6.5, 6.5], [8.5, 6.5]]  # centres of pixels
        assert all((seen[1][0, 1] == -1).all() for seen in sam.seen)
