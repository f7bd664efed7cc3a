# CRW's protocol (ajabri/videowalk, code/test.py): top-10, queue 20, disk 12, T 0.07.
protocol = dict(preset='crw')
data_preprocessor = dict()
