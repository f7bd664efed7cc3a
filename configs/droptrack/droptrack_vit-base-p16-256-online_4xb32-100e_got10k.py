# DropTrack ViT-B/16, search region 256, with an online template: trained with two templates (the sampler of
# botaoye/OSTrack@33b5e12:lib/train/data/sampler.py with two template frames), the second one replaced in tests as in
# STARK (researchmm/Stark@273769b:lib/test/tracker/stark_st.py:81-89). No published recipe has these numbers.
_base_ = './droptrack_vit-base-p16-256_4xb32-100e_got10k.py'

model = dict(test_cfg=dict(online_template=dict(type='mmvidmae.IntervalScorePolicy', interval=25, min_score=0.5)))

train_pipeline = _base_.train_pipeline
train_pipeline[0].num_templates = train_pipeline[3].num_templates = train_pipeline[4].num_template_frames = 2
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
