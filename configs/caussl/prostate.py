# CauSSL on cross pseudo supervision, Prostate: networks, views and iterations of CPS.
_base_ = '../cps/prostate.py'
model = dict(type='CPSCauSSL', cps_weight=0.3)
published = 'caussl'  # printed beside the results
