# HIPTrack (github.com/WenRuiCai/HIPTrack at 371b753: file:line below): DropTrack's encoder, frozen, with a historical
# prompt.
_base_ = './droptrack.py'

model = dict(
    type='mmvidmae.HIPTrack',
    backbone=dict(drop_path_rate=0.1),  # active in the frozen encoder too, hiptrack.yaml:64
    prompt=dict(
        type='mmvidmae.HistoricalPrompt',
        key_dims=64,  # lib/models/hiptrack/hiptrack.py:44
        base_channels=64,  # ResNet-18, lib/models/hip/modules.py:55
        pretrained='torchvision://resnet18',  # lib/models/hip/modules.py:55
    ),
    test_cfg=dict(memory_interval=20, max_memory_frames=150),  # lib/config/hiptrack/config.py:99, 36
)
