# T-CoRe's schedules over 400 epochs (github.com/yafeng19/T-CORE: scripts/pretrain.sh:17-18, the rest of
# 0ffcabe:base_model/configs/ssl_default_config.yaml), set in every iteration (67c8bf9:base_model/train/train.py:40-84).
param_scheduler = [
    dict(type='mmvidmae.LinearLR', start_factor=0.0, by_epoch=True, begin=0, end=20, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=1e-6 / 0.001,  # min_lr
        by_epoch=True,
        begin=20,
        end=400,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingParamScheduler',
        param_name='weight_decay',
        eta_min_ratio=0.4 / 0.04,  # weight_decay 0.04 to weight_decay_end 0.4
        by_epoch=True,
        begin=0,
        end=400,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=400)
# Added to the hooks of the runtime by the recipe.
teacher_hook = dict(
    type='mmvidmae.TeacherHook',
    momentum=0.992,  # momentum_teacher
    end_momentum=1.0,  # final_momentum_teacher
    temperature=0.04,  # warmup_teacher_temp
    end_temperature=0.07,  # teacher_temp
    temperature_epochs=30,  # warmup_teacher_temp_epochs
    freeze_epochs=1,  # freeze_last_layer_epochs
)
