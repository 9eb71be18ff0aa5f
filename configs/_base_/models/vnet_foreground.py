# The V-Net with the loss of UA-MT's code: the Dice term is that of the foreground alone.
_base_ = './vnet.py'
model = dict(sup_loss=dict(background=False))
