# UST-RUN on the data of configs/sup_only/lite_fundus.py, with the settings of SymGD there. Nothing
# is reliable for the first 40 of the 2,000 iterations, 500 of 30,000 in the paper's training.
_base_ = '../symgd/lite_fundus.py'
model = dict(type='USTRUN', start=40)
