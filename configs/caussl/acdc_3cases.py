# CauSSL on cross pseudo supervision, ACDC, 3 patients: networks, views and iterations of CPS.
_base_ = '../cps/acdc_3cases.py'
model = dict(type='CPSCauSSL', cps_weight=0.3)
