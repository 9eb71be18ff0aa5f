# The schedule of ssl4mis.py with a constant rate, as MC-Net and SS-Net train.
_base_ = './ssl4mis.py'
param_scheduler = []
