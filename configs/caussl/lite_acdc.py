# CauSSL on cross pseudo supervision, ACDC at 64 px: networks, views and iterations of CPS.
_base_ = '../cps/lite_acdc.py'
model = dict(type='CPSCauSSL', cps_weight=0.3)
