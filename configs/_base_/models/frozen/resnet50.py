# ResNet-50 at stride 8: the third stage, its stride taken out, as CRW and its predecessors evaluate ResNets.
encoder = dict(type='mmpretrain.ResNet', depth=50, strides=(1, 2, 1, 1), out_indices=(2,))
