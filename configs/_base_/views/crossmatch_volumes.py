# Two strong views of volumes, and cuboids for CutMix in 5 of 10 of each, as CrossMatch draws them.
_base_ = './strong_volumes.py'
cuboid = dict(type='RandomPasteCuboid', volume=(0.02, 0.4), prob=0.5)
two_strong_views = [
    dict(type='StrongView', transforms=_base_.strong_view),
    dict(type='StrongView', transforms=_base_.strong_view, key='img_strong2'),
    cuboid,
    dict(cuboid, key='box2'),
]
