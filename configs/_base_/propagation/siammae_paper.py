# SiamMAE's table 4b: top-7, queue 20, neighborhood 20. The paper gives no temperature, window shape, input size or
# code: CRW's.
protocol = dict(preset='siammae_paper')
data_preprocessor = dict()
