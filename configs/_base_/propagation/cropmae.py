# CropMAE's fork of CRW (alexandre-eymael/CropMAE, downstreams/propagation), also that of CatMAE and T-CoRe: top-7,
# queue 20, disk 20, T 0.7.
protocol = dict(preset='cropmae')
data_preprocessor = dict()
