# CauSSL on cross pseudo supervision, BUSI: networks, views and iterations of CPS.
_base_ = '../cps/busi.py'
model = dict(type='CPSCauSSL', cps_weight=0.3)
published = 'caussl'  # printed beside the results
