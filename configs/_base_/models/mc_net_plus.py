# MC-Net+ on the U-Net of SSL4MIS: three decoders.
_base_ = './mc_net.py'
model = dict(
    students=dict(
        unet=dict(decode_head=dict(upsample=('bilinear', 'transposed', 'nearest'))),
    ),
)
