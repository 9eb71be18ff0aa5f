# Strong views of volumes, in the place of the colours of photographs: contrast, gamma, noise and
# blur, each with mean and range near those of the volume; and the cuboids of CutMix, in 5 of 10.
strong_view = [
    dict(type='RandomApply', prob=0.8, transforms=[dict(type='RandomContrast', low=0.5, high=1.5)]),
    dict(type='RandomGamma', gamma=(0.5, 2.0), prob=0.8),
    dict(type='RandomNoise', std=(0.0, 0.3), prob=0.5),
    dict(type='RandomApply', prob=0.5, transforms=[dict(type='GaussianBlur', sigma=(0.1, 1.5))]),
]
cuboid = dict(type='RandomPasteCuboid', volume=(0.02, 0.4), prob=0.5)
two_strong_views = [
    dict(type='StrongView', transforms=strong_view),
    dict(type='StrongView', transforms=strong_view, key='img_strong2'),
    cuboid,
    dict(cuboid, key='box2'),
]
