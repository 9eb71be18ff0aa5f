# Two V-Nets that teach each other (CPS), with first weights of two schemes as in SSL4MIS.
_base_ = './vnet.py'
model = dict(
    type='CPS',
    students=dict(
        vnet=dict(
            init_cfg=dict(
                type='Kaiming',
                layer='Conv3d',
                mode='fan_in',
                nonlinearity='relu',
                distribution='normal',
            ),
        ),
        vnet2=dict(
            _base_.model.students.vnet,
            init_cfg=dict(type='Xavier', layer='Conv3d', distribution='normal'),
        ),
    ),
    primary='vnet',
    ramp=dict(type='GaussianRamp', scale=0.1, stairs=200),
)
