# CauSSL on cross pseudo supervision, M&Ms: networks, views and iterations of CPS.
_base_ = '../cps/mnms.py'
model = dict(type='CPSCauSSL', cps_weight=0.3)
published = dict(method='caussl')  # printed beside the results
val_evaluator = dict(published=published)
test_evaluator = dict(published=published)
