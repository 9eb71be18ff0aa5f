# A quarter of the width of what nnU-Net would train, for a machine without a GPU.
_base_ = './dynunet_hippocampus.py'
model = dict(
    students=dict(dynunet=dict(filters=(8, 16, 32, 64))),
    inferer=dict(mirror=()),
)
