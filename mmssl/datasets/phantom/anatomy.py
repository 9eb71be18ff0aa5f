"""Scanners and anatomy of the phantom: what a volume of `phantom.py` shows."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class Scanner:
    """One domain: tissue signals in [0, 1], acquisition, and the statistics of the organ's shape.

    Lengths are fractions of half the field of view; `noise` is the standard deviation of the
    Gaussian noise in each channel of the magnitude (Rician) image; `downscale` the pixel size of
    the acquisition relative to the picture's; `blur` a standard deviation in such pixels of a
    96 px picture; `bias` the amplitude of the log bias field and `coil` that of a surface coil's
    hot spot behind the organ; `white` the grey value of the 99.7th percentile of a volume.
    """

    name: str
    fat: float
    muscle: float
    bone: float
    outer: float
    inner: float
    rectum: tuple[float, float]
    texture: float
    noise: float
    blur: float
    downscale: float
    bias: float
    coil: float
    gamma: float
    white: float
    radius: tuple[float, float]
    aspect: tuple[float, float]
    roughness: float
    rectum_radius: tuple[float, float]


SCANNERS = {
    s.name: s
    for s in (
        Scanner(
            'ScannerA', fat=.80, muscle=.18, bone=.45, outer=.66, inner=.42, rectum=(.10, .60),
            texture=.07, noise=.025, blur=.5, downscale=1., bias=.15, coil=0., gamma=1.,
            white=235, radius=(.29, .04), aspect=(1.15, .08), roughness=.05,
            rectum_radius=(.16, .03),
        ),
        Scanner(
            'ScannerB', fat=.55, muscle=.20, bone=.38, outer=.48, inner=.40, rectum=(.03, .08),
            texture=.05, noise=.035, blur=.6, downscale=1., bias=.20, coil=1.1, gamma=1.15,
            white=215, radius=(.25, .03), aspect=(1.35, .10), roughness=.05,
            rectum_radius=(.24, .03),
        ),
        Scanner(
            'ScannerC', fat=.66, muscle=.28, bone=.48, outer=.47, inner=.39, rectum=(.20, .50),
            texture=.06, noise=.05, blur=.9, downscale=1.6, bias=.35, coil=0., gamma=.8,
            white=190, radius=(.34, .05), aspect=(1.05, .08), roughness=.07,
            rectum_radius=(.17, .03),
        ),
        Scanner(
            'ScannerD', fat=.30, muscle=.24, bone=.20, outer=.78, inner=.50, rectum=(.10, .85),
            texture=.11, noise=.045, blur=.7, downscale=1.25, bias=.25, coil=.3, gamma=1.1,
            white=245, radius=(.27, .05), aspect=(.90, .08), roughness=.09,
            rectum_radius=(.15, .03),
        ),
    )
}  # fmt: skip


@dataclass
class Blob:
    """A star-shaped solid: an ellipse with harmonics on its boundary, tapered along z."""

    centre: np.ndarray
    axes: np.ndarray
    angle: float = 0.0
    harmonics: np.ndarray | None = None
    drift: tuple[float, float] = (0.0, 0.0)
    z_centre: float = 0.0
    z_extent: float = np.inf

    def level(self, grid: np.ndarray, z: float) -> np.ndarray:
        """Return the distance inside (positive) the boundary in slice `z`, shape (H, W)."""
        taper = 1 - ((z - self.z_centre) / self.z_extent) ** 2
        if taper <= 0.02:
            return np.full(grid.shape[1:], -1.0)
        axes = self.axes * np.sqrt(taper)
        x, y = grid - (self.centre + np.multiply(self.drift, z))[:, None, None]
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        x, y = (cos * x + sin * y) / axes[0], (cos * y - sin * x) / axes[1]
        radius = np.hypot(x, y)
        edge = 1.0
        if self.harmonics is not None:
            turn = (x + 1j * y) / np.maximum(radius, 1e-9)  # exp(i theta)
            power = turn
            for a, b, a_z, b_z in self.harmonics:  # a cos(k theta) + b sin(k theta), k = 2, 3, ...
                power = power * turn
                edge = edge + (((a + a_z * z) - 1j * (b + b_z * z)) * power).real
        return (edge - radius) * axes.min()


def _harmonics(rng: np.random.Generator, amplitude: float) -> np.ndarray:
    """Draw boundary harmonics 2 to 6, shape (5, 4): cos, sin and their slopes along z."""
    decay = amplitude / np.arange(1, 6) ** 0.8
    return rng.normal(size=(5, 4)) * decay[:, None] * [1, 1, 0.5, 0.5]


def _smooth_noise(rng: np.random.Generator, shape: tuple, sigma: float) -> np.ndarray:
    """Draw a smooth random field (Z, H, W) of unit standard deviation; `sigma` in pixels."""
    field = ndimage.gaussian_filter(rng.normal(size=shape), (0.7, sigma, sigma), mode='wrap')
    return field / field.std()


class Anatomy:
    """The structures of one case; `render` paints a slice and returns its zones."""

    def __init__(self, scanner: Scanner, rng: np.random.Generator, shape: tuple) -> None:
        self.grid = np.stack(np.meshgrid(*[(np.arange(shape[1]) + 0.5) / shape[1] * 2 - 1] * 2))
        self.px = shape[1] / 2
        scale = shape[1] / 96
        fine, coarse = (_smooth_noise(rng, shape, s * scale) for s in (0.9, 3.0))
        self.texture = scanner.texture * (0.6 * fine + 0.8 * coarse)
        jitter = rng.normal(1, 0.05, size=8)
        self.layers = [
            *self._surroundings(scanner, rng, jitter),
            *self._distractors(scanner, rng),
            *self._rectum(scanner, rng),
        ]
        self.organ, self.zone = self._organ(scanner, rng)
        self.outer, self.inner = scanner.outer * jitter[3], scanner.inner * jitter[4]
        self.capsule = 0.6 * scanner.muscle + 0.1
        self.nodules = [
            (self._near(self.zone, rng, 0.6), rng.uniform(-1, 1) * 0.22) for _ in range(4)
        ]

    @staticmethod
    def _near(blob: Blob, rng: np.random.Generator, reach: float) -> Blob:
        """Draw a small round solid inside the ellipse of `blob`."""
        where = blob.centre + rng.uniform(-reach, reach, 2) * blob.axes
        size = blob.axes.min() * rng.uniform(0.2, 0.4, 2)
        return Blob(where, size, 0, _harmonics(rng, 0.05), (0, 0), rng.uniform(-0.6, 0.6), 0.7)

    @staticmethod
    def _surroundings(scanner: Scanner, rng: np.random.Generator, jitter: np.ndarray) -> list:
        """Return (solid, signal, texture) of the body, muscles and bones."""
        fat, muscle, bone = (
            v * j for v, j in zip((scanner.fat, scanner.muscle, scanner.bone), jitter, strict=False)
        )
        body = Blob(rng.normal(0, 0.02, 2), np.array([1.08, 0.92]) * rng.normal(1, 0.04, 2),
                     0, _harmonics(rng, 0.012))  # fmt: skip
        layers = [(body, fat, 0.6)]
        for side in (-1, 1):
            tilt = side * rng.normal(0.5, 0.12)
            for x, y, a, b, turn, value in (
                (0.55, -0.36, 0.48, 0.19, -tilt, muscle),  # pectineus and obturator externus
                (0.48, 0.12, 0.10, 0.42, tilt * 0.6, muscle),  # obturator internus
                (0.76, 0.12, 0.21, 0.27, tilt, muscle * 0.7),  # cortex of the ischium
                (0.76, 0.12, 0.17, 0.23, tilt, bone),  # its marrow
                (0.50, 0.68, 0.42, 0.16, -tilt * 0.5, muscle),  # gluteus
            ):
                centre = np.array([side * x, y]) + rng.normal(0, 0.025, 2)
                axes = np.array([a, b]) * rng.normal(1, 0.08, 2)
                solid = Blob(centre, axes, turn, _harmonics(rng, 0.035), (side * 0.04, 0))
                layers.append((solid, value, 1.0))
        pubis = Blob(np.array([0, -0.62]) + rng.normal(0, 0.03, 2), np.array([0.17, 0.22]), 0,
                      _harmonics(rng, 0.05))  # fmt: skip
        return [*layers, (pubis, muscle * 1.2, 1.0)]

    @staticmethod
    def _distractors(scanner: Scanner, rng: np.random.Generator) -> list:
        """Return vessels, glands and muscle bundles whose signals resemble the organ's."""
        layers = []
        for _ in range(rng.integers(6, 11)):
            angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 0.9)
            centre = far * np.array([np.cos(angle), 0.85 * np.sin(angle)])
            axes = rng.uniform(0.06, 0.17) * np.array([1, rng.uniform(0.6, 1)])
            mix = rng.uniform(-0.2, 1.2)
            value = np.clip(mix * scanner.outer + (1 - mix) * scanner.inner, 0.02, 1)
            solid = Blob(centre, axes, rng.uniform(0, np.pi), _harmonics(rng, 0.08),
                          tuple(rng.normal(0, 0.06, 2)), rng.uniform(-0.8, 0.8),
                          rng.uniform(0.6, 1.6))  # fmt: skip
            layers.append((solid, value, 1.3))
        return layers

    @staticmethod
    def _rectum(scanner: Scanner, rng: np.random.Generator) -> list:
        """Return the wall and the content of the rectum, behind (below) the organ."""
        radius = max(rng.normal(*scanner.rectum_radius), 0.08)
        centre = np.array([rng.normal(0, 0.03), 0.16 + radius + rng.normal(0, 0.02)])
        wall = Blob(centre, np.full(2, radius), 0, _harmonics(rng, 0.05), (0, 0.03))
        content = Blob(centre, np.full(2, radius * 0.75), 0, wall.harmonics, (0, 0.03))
        layers = [(wall, scanner.muscle * 1.1 + 0.05, 0.6)]
        return [*layers, (content, rng.uniform(*scanner.rectum), 0.8)]

    @staticmethod
    def _organ(scanner: Scanner, rng: np.random.Generator) -> tuple[Blob, Blob]:
        """Return the organ and its inner zone."""
        radius = np.clip(rng.normal(*scanner.radius), 0.18, 0.45)
        root = np.sqrt(max(rng.normal(*scanner.aspect), 0.6))
        axes = radius * np.array([root, 1 / root])
        centre = np.array([0.0, 0.12 - axes[1]]) + rng.normal(0, 0.04, 2)
        shape = (_harmonics(rng, scanner.roughness), tuple(rng.normal(0, 0.03, 2)),
                 rng.uniform(-0.25, 0.25), rng.uniform(1.05, 1.35))  # fmt: skip
        organ = Blob(centre, axes, rng.normal(0, 0.1), *shape)
        zone_centre = centre + [rng.normal(0, 0.01), -axes[1] * rng.uniform(0.12, 0.25)]
        zone = Blob(zone_centre, axes * rng.uniform(0.55, 0.72), organ.angle,
                     _harmonics(rng, scanner.roughness), *shape[1:])  # fmt: skip
        return organ, zone

    def _paint(self, image: np.ndarray, level: np.ndarray, colour: np.ndarray | float) -> None:
        cover = np.clip(level * self.px + 0.5, 0, 1)
        image += cover * (colour - image)

    def render(self, index: int, z: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the signal (float) and the zones (0 outside, 1 outer, 2 inner) of a slice."""
        texture = self.texture[index]
        image = np.zeros(self.grid.shape[1:])
        for solid, value, rough in self.layers:
            self._paint(image, solid.level(self.grid, z), value * (1 + rough * texture))
        organ, zone = (blob.level(self.grid, z) for blob in (self.organ, self.zone))
        zone = np.minimum(zone, organ - 0.05)
        self._paint(image, organ + 0.012, self.capsule)
        self._paint(image, organ - 0.012, self.outer * (1 + 1.5 * texture))
        inner = self.inner * (1 + 2 * texture)
        for solid, change in self.nodules:
            self._paint(inner, solid.level(self.grid, z), self.inner * (1 + change + texture))
        self._paint(image, zone, inner)
        return np.clip(image, 0, None), (organ > 0).astype(np.uint8) + (zone > 0)
