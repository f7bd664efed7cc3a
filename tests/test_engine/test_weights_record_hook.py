"""Which weights a runner's model has, in words and for files."""

from tiny_runs import build, tiny_config

from mmvidmae.engine.hooks.weights_record_hook import RANDOM, describe, find_weights


def test_weights_of_a_training_are_those_of_its_iteration(video_dir, tmp_path):
    cfg = tiny_config(video_dir, tmp_path / 'run', train_cfg__max_epochs=1)
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    runner = build(cfg)
    assert find_weights(runner) == RANDOM
    assert isinstance(runner._train_loop, dict), 'the training data are not loaded to find this out'
    runner.train()
    assert find_weights(runner) == f'iteration 4 of the training in {tmp_path / "run"}'


def test_weights_in_words():
    file, remote = dict(checkpoint='a.pth', sha256='0123'), dict(checkpoint='s3://b.pth', sha256=None)
    assert describe(RANDOM) == 'random weights'
    assert describe(file) == 'a.pth (SHA-256 0123)'
    assert describe(dict(backbone=remote, head=file)) == (
        'backbone from s3://b.pth (SHA-256 unknown), head from a.pth (SHA-256 0123); random weights elsewhere'
    )
