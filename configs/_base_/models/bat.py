# BAT (github.com/SparkTempest/BAT at ccf9b2f: experiments/bat/rgbt.yaml:line below): OSTrack at 256 pixels for two
# modalities, with trained adapters between them.
_base_ = './droptrack_256.py'

model = dict(
    type='mmvidmae.BAT',
    adapters_only=True,  # lib/train/base_functions.py:173-186
    norm_eval=True,  # FIX_BN
    backbone=dict(
        type='mmvidmae.TwoStreamViT',
        frame_embed=False,  # OSTrack
        ce_keep_ratio=(1.0, 1.0, 1.0),  # line 42: nothing is eliminated
        adapter_dims=8,  # lib/models/layers/adapter.py:27-55
        adapter_drop_rate=0.1,
        drop_path_rate=0.1,
    ),
)
