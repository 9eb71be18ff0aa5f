# CauSSL on cross pseudo supervision, M&Ms: networks, views and iterations of CPS.
_base_ = '../cps/mnms.py'
model = dict(type='CPSCauSSL', cps_weight=0.3)
published = 'caussl'  # printed beside the results
