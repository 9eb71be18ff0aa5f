# CauSSL on cross pseudo supervision, Fundus at 96 px: networks, views and iterations of CPS.
_base_ = '../cps/lite_fundus.py'
model = dict(type='CPSCauSSL', cps_weight=0.3)
