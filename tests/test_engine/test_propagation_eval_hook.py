"""The score of frozen features while a model trains."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import load_checkpoint
from tiny_runs import build, read_trace, tcore_config, tiny_config
from torch.distributed.fsdp import FullyShardedDataParallel

from mmvidmae.models.propagation import LabelPropagator
from mmvidmae.registry import DATASETS, HOOKS, METRICS

SCORES = {'propagation/J&F-Mean', 'propagation/J-Mean', 'propagation/F-Mean'}


def hook(davis: Path, **options) -> dict:
    pipeline = [dict(type='mmvidmae.LoadVideoFrames', divisor=8), dict(type='mmvidmae.PackVideoSequence')]
    return dict(
        type='mmvidmae.PropagationEvalHook',
        dataset=dict(type='mmvidmae.DAVISDataset', data_root=str(davis), pipeline=pipeline),
        metric=dict(type='mmvidmae.VideoSegmentationMetric'),
        protocol='dino',
        **options,
    )


def scored(work_dir: Path) -> dict[int, dict]:
    """What the backends were told, by iteration."""
    lines = [json.loads(line) for path in sorted(work_dir.glob('*/vis_data/scalars.json')) for line in path.open()]
    return {line['step']: line for line in lines if 'propagation/J&F-Mean' in line}


def score_of(checkpoint: Path, cfg, davis: Path) -> float:
    """F of a checkpoint, without the hook."""
    propagator = LabelPropagator(dict(cfg.model.backbone, type='mmvidmae.PairMAEViT', encoding='siamese'), 'dino')
    load_checkpoint(propagator, str(checkpoint))
    options = hook(davis)
    dataset, metric = DATASETS.build(options['dataset']), METRICS.build(options['metric'])
    for item in dataset:
        (result,) = propagator.test_step(dict(inputs=[item['inputs']], data_samples=[item['data_samples']]))
        metric.process({}, [result.to_dict()])
    return metric.evaluate(len(dataset))['vos/F-Mean']


def test_scores_are_logged_and_training_is_left_alone(davis, video_dir, tmp_path):
    traces = []
    for name, hooks in (('without', []), ('with', [hook(davis, interval=2)])):
        (tmp_path / name).mkdir()
        cfg = tiny_config(video_dir, tmp_path / name / 'work', 'SiamMAE')
        cfg.custom_hooks += [dict(type='TraceHook'), *hooks]
        runner = build(cfg)
        runner.train()
        traces.append(read_trace(tmp_path / name / 'work'))
    assert traces[0] == traces[1], 'the evaluation changed the training'
    assert any(p.requires_grad for p in runner.model.backbone.parameters())

    scores = scored(tmp_path / 'with' / 'work')
    assert list(scores) == [0, 8, 12], 'before the first epoch, after two, and after the last'
    assert all(line.keys() >= SCORES for line in scores.values())
    assert scores[12]['propagation/F-Mean'] == pytest.approx(score_of(tmp_path / 'with/work/epoch_3.pth', cfg, davis))
    checkpoint = torch.load(tmp_path / 'with/work/epoch_3.pth')
    assert checkpoint['propagation_eval_videos'] == ['a', 'b', 'c']


def test_a_budget_chooses_once_and_a_resumed_run_keeps_it(davis, video_dir, tmp_path):
    cfg = tiny_config(video_dir, tmp_path / 'work', 'DropMAE', train_cfg__max_epochs=1)
    cfg.custom_hooks.append(hook(davis, interval=1, max_seconds=1e-6, before_train=False))
    build(cfg).train()
    checkpoint = torch.load(tmp_path / 'work/epoch_1.pth')
    assert checkpoint['propagation_eval_videos'] == ['a'], 'never less than one'

    cfg = tiny_config(video_dir, tmp_path / 'work', 'DropMAE', train_cfg__max_epochs=2, resume=True)
    cfg.custom_hooks.append(hook(davis, interval=1, max_seconds=1e6))
    build(cfg).train()
    assert torch.load(tmp_path / 'work/epoch_2.pth')['propagation_eval_videos'] == ['a']
    assert list(scored(tmp_path / 'work')) == [4, 8]


def test_the_teacher_is_scored_where_it_is_named(davis, video_dir, tmp_path):
    cfg = tcore_config(video_dir, tmp_path / 'work', train_cfg__max_epochs=1)
    options = dict(interval=1, before_train=False, encoder='teacher.backbone')
    cfg.custom_hooks.append(hook(davis, **options))
    runner = build(cfg)
    runner.train()
    (line,) = scored(tmp_path / 'work').values()
    propagator = LabelPropagator(runner.model.teacher.backbone, 'dino')
    config = hook(davis)
    dataset, metric = DATASETS.build(config['dataset']), METRICS.build(config['metric'])
    for item in dataset:
        (result,) = propagator.test_step(dict(inputs=[item['inputs']], data_samples=[item['data_samples']]))
        metric.process({}, [result.to_dict()])
    assert line['propagation/F-Mean'] == pytest.approx(metric.evaluate(len(dataset))['vos/F-Mean'])


def test_a_sharded_model_is_refused(davis, tmp_path):
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        runner = SimpleNamespace(model=FullyShardedDataParallel(torch.nn.Linear(2, 2), device_id=torch.device('cpu')))
        with pytest.raises(ValueError, match='needs the whole encoder, but with FSDP each process has a part'):
            HOOKS.build(hook(davis)).before_train(runner)
    finally:
        torch.distributed.destroy_process_group()


def test_options_are_checked(davis):
    for options in (dict(interval=0), dict(max_seconds=0)):
        with pytest.raises(ValueError, match='interval must be at least 1 epoch and max_seconds above 0'):
            HOOKS.build(hook(davis, **options))
