# The same without spatial-attention dropout.
_base_ = './dropmae.py'

model = dict(type='mmvidmae.TwinMAE')
