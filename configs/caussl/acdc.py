# CauSSL on cross pseudo supervision, ACDC, 7 patients: networks, views and iterations of CPS.
_base_ = '../cps/acdc.py'
model = dict(type='CPSCauSSL', cps_weight=0.3)
