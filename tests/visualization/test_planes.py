"""Three planes of a volume: where they are, how they lie, and in which proportions."""

import numpy as np

from mmssl.visualization.overlay import BAR
from mmssl.visualization.planes import as_picture, volume_strip

PALETTE = [[0, 0, 0], [255, 0, 0], [0, 0, 255]]


def block():
    """Return a volume whose brightest slice is the sixth, and a block of class 1 around it."""
    image = np.zeros((12, 20, 30, 2), np.float32)
    image[..., 0] = np.linspace(-3, 5, 12)[:, None, None]
    truth = np.zeros((12, 20, 30), np.uint8)
    truth[8:10, 4:12, 6:18] = 1
    truth[9, 4:12, 6:20] = 1
    return image, truth


def red_rows(panel):
    return (panel[..., 0].astype(int) > panel[..., 2].astype(int) + 40).any(1)


def test_planes_go_through_what_is_there_and_lie_upright():
    image, truth = block()
    strip = volume_strip(image, {'net': truth}, PALETTE, truth=truth, title='case', height=120)
    widths = [round(120 * across / down) for down, across in ((20, 30), (12, 30), (12, 20))]
    assert strip.shape == (3 * (120 + BAR) + BAR, 3 * max(widths), 3)
    rows = [strip[BAR + n * (120 + BAR) :][:120] for n in range(3)]
    grey = rows[0][60, 90]
    assert np.ptp(grey) == 0 and grey[0] == 255 * 9 // 11, 'the tenth of twelve slices'
    # Across rows: the first slice, which is dark, is at the bottom; the block is above the middle.
    first = rows[1][:, : widths[1]]
    assert first[118, 5].max() < 10 and first[1, 5].min() > 245
    truth_panel = rows[1][:, widths[1] : 2 * widths[1]]
    assert np.flatnonzero(red_rows(truth_panel))[[0, -1]].tolist() == [20, 39], (
        'slices 8 and 9 of 12'
    )


def test_spacing_gives_the_proportions_and_maps_may_have_another_size():
    image, truth = block()
    half = truth[::2, ::2, ::2]
    strip = volume_strip(
        image, {'net': half}, PALETTE, truth=truth, height=120, spacing=(5.0, 1.0, 1.0)
    )
    assert strip.shape[1] == 3 * 180, 'across rows a plane is 60 mm high and 30 mm wide'
    row = strip[BAR + 120 + BAR :][:120, : 3 * 60]
    assert red_rows(row[:, 60:120]).sum() == 20
    assert red_rows(row[:, 120:180]).sum() == 18, 'the truth outlined in white'
    assert not strip[BAR + 120 + BAR :][:120, 3 * 60 :].any(), 'nothing beside the smaller row'


def test_an_empty_volume_is_drawn_in_its_middle():
    image, truth = block()
    strip = volume_strip(0 * image, {'net': 0 * truth}, PALETTE, height=60)
    assert strip[BAR : BAR + 60].max() == 0


def test_a_volume_as_one_picture_is_cut_where_its_classes_are():
    image, truth = block()
    picture = as_picture(image, truth, PALETTE)
    assert picture.shape == (20, 30 + 30 + 20 + 2, 3) and picture.dtype == np.uint8
    assert np.ptp(picture[0, 0]) == 0 and picture[0, 0, 0] == 255 * 9 // 11
    assert red_rows(picture[:, :30]).sum() == 8 and red_rows(picture[:12, 31:61]).sum() == 2
    plain = as_picture(image)
    assert plain[0, 0, 0] == 255 * 6 // 11, 'without classes in the middle'
    bytes_ = np.full((4, 5, 6, 1), 77, np.uint8)
    assert as_picture(bytes_)[0, 0].tolist() == [77] * 3
