# MC-Net+ on the V-Net: three decoders.
_base_ = './vnet_mc_net.py'
model = dict(
    students=dict(
        vnet=dict(decode_head=dict(upsample=('transposed', 'trilinear', 'nearest'))),
    ),
)
