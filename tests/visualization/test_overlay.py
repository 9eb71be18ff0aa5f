"""Overlays: colours where they belong, panels in their order, files whole."""

import cv2
import numpy as np

from mmssl.visualization import draw_overlay, overlay_strip, write_image
from mmssl.visualization.overlay import BAR, in_a_row, panel

PALETTE = [[0, 0, 0], [255, 0, 0], [0, 0, 255]]


def square(size=40, low=10, high=30, index=1):
    classes = np.zeros((size, size), np.uint8)
    classes[low:high, low:high] = index
    return classes


def test_classes_are_tinted_outlined_and_the_truth_is_white():
    image = np.full((40, 40, 1), 100, np.uint8)
    drawn = draw_overlay(image, square(), PALETTE, square(low=5, high=35), alpha=0.5)
    assert drawn.shape == (40, 40, 3)
    assert drawn[20, 20].tolist() == [177, 50, 50]
    assert drawn[10, 20].tolist() == [255, 0, 0]
    assert drawn[5, 20].tolist() == [255, 255, 255]
    assert drawn[2, 2].tolist() == [100, 100, 100]
    assert (image == 100).all()


def test_a_hole_has_an_outline_too():
    ring = square(low=5, high=35)
    ring[15:25, 15:25] = 0
    drawn = draw_overlay(np.zeros((40, 40, 1), np.uint8), ring, PALETTE, alpha=0)
    assert drawn[20, 14].tolist() == [255, 0, 0]
    assert drawn[20, 20].tolist() == [0, 0, 0]


def test_a_strip_has_the_panels_in_order_and_any_size_of_map():
    image = np.full((80, 40, 3), 90, np.uint8)
    maps = {'sam student': np.ones((10, 10), np.uint8), 'unet student': square(80)[:, :40] * 0}
    strip = overlay_strip(image, maps, PALETTE, ('background', 'disc'), None, 'A_00', height=160)
    panels = np.split(strip[22:182], 3, axis=1)
    assert strip.shape == (160 + 2 * 22, 240, 3)
    assert (panels[0] == 90).all() and (panels[2] == 90).all()
    assert panels[1][80, 40, 0] > 120
    assert (strip[182:] == [255, 0, 0]).all(-1).any()  # the legend's red square
    with_truth = overlay_strip(image, maps, PALETTE, (), np.ones((80, 40)), height=160)
    assert with_truth.shape[1] == 320


def test_written_colours_are_right(tmp_path):
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 0] = 255
    write_image(tmp_path / 'a' / 'red.png', image)
    assert cv2.imread(str(tmp_path / 'a' / 'red.png'))[0, 0].tolist() == [0, 0, 255]
    assert [p.name for p in (tmp_path / 'a').iterdir()] == ['red.png']


def test_panels_keep_their_pixels_and_stand_side_by_side():
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = panel(image, 'x', 8)
    assert large.shape == (BAR + 8, 8, 3)
    assert (large[BAR:] == image.repeat(4, 0).repeat(4, 1)).all()
    strip = in_a_row([large, panel(large[BAR:], '', 8)], gap=3)
    assert strip.shape == (BAR + 8, 19, 3) and (strip[:, 8:11] == 255).all()
    assert (strip[BAR:, 11:] == large[BAR:]).all()
