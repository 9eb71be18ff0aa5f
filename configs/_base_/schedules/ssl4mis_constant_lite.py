# The schedule of ssl4mis_constant.py in 2,000 iterations.
_base_ = './ssl4mis_lite.py'
param_scheduler = []
