"""Jobs of compare_methods: pre-training, fine-tuning and measurements.

Arguments and results are numbers, strings, lists and dicts, so that a job can run in another process and its result can
be written to JSON.
"""

import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from frozen_scores import propagation_scores
from initializations import fine_tune
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from small_pretraining import METHODS, configure
from small_segmentation import make_config as segmentation_config
from small_tracker import make_config as tracker_config
from small_tracker import score_pairs
from torch import Tensor, nn

from mmvidmae.apis import attention_accuracy, attention_share, feature_accuracy, get_model, warp_frames
from mmvidmae.datasets import pair_collate
from mmvidmae.datasets.samplers import SampleIndex
from mmvidmae.models import JointPairDecoder, PairMAE
from mmvidmae.models.masking import TokenMask, mask_by_noise
from mmvidmae.registry import DATASETS
from mmvidmae.visualization.loss_curve import read_losses

CONDITIONS = ('true', 'foreign', 'identical', 'moved', 'missing')
"""What the model gets as the earlier frame: the earlier frame, one of another clip, the later frame, the later frame
moved by one patch, or nothing. A model that matches patches has the same loss with the third and the fourth, and so
has one that does not use the earlier frame. One that copies what is at the same place has not."""


def run_config(
    out: str,
    method: str,
    changes: dict[str, Any],
    epochs: int,
    seed: int,
    saves: int = 4,
    seconds: float | None = None,
) -> Config:
    """Make the config of a pre-training run.

    Args:
        out: Folder of the experiment.
        method: Name of a method.
        changes: Values by dotted keys that replace those of the method's config. Changes of ``model.backbone`` apply to
            the frozen encoder if the method adapts one. Changes of ``model.neck`` are ignored if the neck has no
            ``decoder_dims``.
        epochs: Number of epochs.
        seed: Seed of the run.
        saves: Number of validations and checkpoints, the last at the end.
        seconds: CPU seconds after which training ends.

    Returns:
        Config, whose crops have the size of the model's input.
    """
    config = configure(method, Path(out), epochs, seed, saves, seconds)
    if 'encoder' in config.model.backbone:
        changes = {
            re.sub(r'^model\.backbone\.(?!encoder)', 'model.backbone.encoder.', k): v for k, v in changes.items()
        }
    if 'decoder_dims' not in config.model.get('neck', {}):
        changes = {key: value for key, value in changes.items() if not key.startswith('model.neck.')}
    config.merge_from_dict(changes)
    for loader in filter(None, (config.train_dataloader, config.val_dataloader)):
        for step in loader.dataset.pipeline:
            if 'size' in step:
                step.size = input_size(config)
            if 'local_size' in step:
                step.local_size = step.size // 2
    return config


def input_size(config: Config) -> int:
    """Return the side of the model's square input in pixels."""
    backbone = config.model.backbone
    return backbone.get('encoder', backbone).img_size


def load(config: Config, checkpoint: str | None, seed: int) -> PairMAE:
    """Build a model in evaluation mode, with the weights of a checkpoint or initialized as the config and seed say."""
    init_default_scope('mmpretrain')
    model = get_model(config, checkpoint, 'cpu')
    if checkpoint is None:
        torch.manual_seed(seed)
        model.init_weights()
    return model.eval()


def pretrain(
    out: str,
    name: str,
    method: str,
    changes: dict[str, Any],
    seed: int,
    saves: int,
    epochs: int = 2,
    seconds: float | None = None,
) -> dict[str, Any]:
    """Pre-train for a number of epochs or CPU seconds. An interrupted run resumes.

    Checkpoints are in ``<out>/runs/<name>``. For the arguments, see :func:`run_config`.
    """
    config = run_config(out, method, changes, epochs, seed, saves, seconds)
    config.work_dir = f'{out}/runs/{name}'
    config.custom_hooks = [hook for hook in config.custom_hooks if hook.type != 'mmvidmae.ReconstructionVisHook']
    runner = Runner.from_cfg(config)
    runner.train()
    losses = read_losses(config.work_dir)
    times = [
        line['time']
        for file in Path(config.work_dir).glob('*/vis_data/scalars.json')
        for line in map(json.loads, file.read_text().splitlines())
        if 'time' in line and 'loss' in line
    ]
    loader = config.train_dataloader
    clips = runner.iter * loader.batch_size * loader.dataset.repeated_sampling
    result = dict(
        steps=runner.iter,
        pictures=clips * METHODS[method].frames,
        seconds_a_step=float(np.median(times)) if times else None,
        train_loss=losses.train.tolist(),
        val_loss=losses.val.tolist(),
        constant_loss=float(losses.constant[:, 1].mean()) if losses.constant.size else None,
        parameters=sum(p.numel() for p in runner.model.parameters()),
        encoder_parameters=sum(p.numel() for p in runner.model.backbone.parameters()),
    )
    if seconds:
        parts = [Path(config.work_dir, f'part_{part}.pth') for part in range(1, saves + 1)]
        metas = [torch.load(part, 'cpu', weights_only=True)['meta'] for part in parts]
        result.update(training_seconds=runner.train_loop.spent, part_steps=[meta['iter'] for meta in metas])
    return result


@functools.cache
def held_out_pairs(out: str, count: int, side: int, seed: int = 0) -> tuple[dict, ...]:
    """Load pairs for measurements, in batches of 32. They are the same for all methods.

    The pairs are from the held-out ends of ``count`` different clips, one of each. Their frames are at most 24 frames
    apart, and have a size of ``side`` x ``side`` pixels.
    """
    config = configure('dropmae', Path(out), 2)
    for step in config.val_dataloader.dataset.pipeline[2:4]:
        step.size = side
    dataset = DATASETS.build(dict(config.val_dataloader.dataset, indices=None))
    first = {dataset.get_data_info(index)['video_path']: index for index in reversed(range(len(dataset)))}
    chosen = np.random.default_rng(seed).permutation(sorted(first.values()))[:count].tolist()
    items = [dataset[SampleIndex(index, epoch=0, seed=seed)] for index in chosen]
    return tuple(pair_collate(items[start : start + 32]) for start in range(0, len(items), 32))


def even_masks(noise: Tensor, masks: tuple[TokenMask, ...], missing: bool) -> tuple[TokenMask, ...]:
    """Make a joint mask in which each frame of a pair has half of the visible patches.

    Args:
        noise: Noise of both frames ``(N, 2 * L)``.
        masks: Joint mask that is replaced. It gives the number of visible patches.
        missing: Whether the earlier frame has no visible patch. The later frame has the same ones in both cases.
    """
    keep, half = masks[0].ids_keep.shape[1] // 2, noise.shape[1] // 2
    ranks = noise.unflatten(1, (2, half)).argsort(-1).argsort(-1) + torch.tensor([[half * missing], [0.5]])
    return (mask_by_noise(ranks.flatten(1), keep if missing else 2 * keep),)


@torch.no_grad()
def future_error(model: PairMAE, pairs: Tensor, seed: int, missing: bool = False) -> Tensor:
    """Compute the reconstruction error of the later frame of each pair.

    The error is that of the first decoder branch with cross-attention to other frames (its memory), for its last target
    frame, on the patches that its loss covers. The clip of the model is made from the pair: frames of the memory are
    the earlier frame, all others are the later one. If no branch has a memory, the first branch is used.

    The seed determines the visible patches and all other random numbers. With joint masking, each frame has half of the
    visible patches. All conditions thus show the same patches of the later frame.

    Args:
        model: Model in evaluation mode.
        pairs: Normalized pairs ``(N, 2, 3, H, W)``.
        seed: Seed of the random numbers.
        missing: Whether the encoder gets no patch of the earlier frame, and the decoder only its mask tokens. Only for
            joint masking.

    Returns:
        Mean squared error of normalized patches ``(N,)``.
    """
    number, branch = next(
        ((number, branch) for number, branch in enumerate(model.neck.branches) if branch.memory),
        (0, model.neck.branches[0]),  # frames are decoded jointly or independently
    )
    target = branch.targets[-1]
    earlier = branch.memory or range(target)
    clips = torch.stack([pairs[:, int(frame not in earlier)] for frame in range(model.num_frames)], dim=1)
    draws = model._draws(clips, [DataSample(metainfo=dict(seed=seed + place)) for place in range(len(pairs))])
    hooks = []
    if model.masking.joint:
        hooks.append(model.masking.register_forward_hook(lambda _, args, masks: even_masks(args[0], masks, missing)))
    try:
        output = model.forward_pretrain(clips, **draws)
    finally:
        for hook in hooks:
            hook.remove()
    pred = output.preds[number].unflatten(1, (len(branch.targets), -1))[:, -1]
    hidden = output.mask.unflatten(1, (model.num_frames, -1))[:, target]
    counted = hidden if branch.over == 'hidden' else torch.ones_like(hidden)
    true = model.head.normalize(model.head.patchify(clips[:, target : target + 1]))
    return ((pred - true).square().mean(-1) * counted).sum(1) / counted.sum(1)


def past_errors(model: PairMAE, batches: tuple[dict, ...]) -> dict[str, float]:
    """Compute the mean :func:`future_error` of held-out pairs in each of :data:`CONDITIONS`.

    ``missing`` is only for joint masking. ``foreign`` takes the earlier frame of another pair in the batch. ``moved``
    rolls the later frame by the width of a patch.
    """
    errors: dict[str, list[Tensor]] = {}
    for number, batch in enumerate(batches):
        inputs = model.data_preprocessor(dict(inputs=batch['inputs'], data_samples=None))['inputs']
        past, future = inputs.unbind(1)
        others = dict(
            true=past, foreign=past.roll(1, 0), identical=future, moved=future.roll(model.backbone.patch_size, -1)
        )
        if model.masking.joint:
            others['missing'] = past
        for condition, other in others.items():
            shown = torch.stack((other, future), dim=1)
            error = future_error(model, shown, 1000 * number, condition == 'missing')
            errors.setdefault(condition, []).append(error)
    return {condition: float(torch.cat(values).mean()) for condition, values in errors.items()}


def measure_held_out(model: nn.Module, batches: tuple[dict, ...]) -> dict[str, Any]:
    """Measure a model on held-out pairs.

    The measures are the error of the later frame for different earlier frames, the accuracy with which features and
    attention match patches after a known motion, and the attention share of both frames.
    """
    errors = past_errors(model, batches) if isinstance(model, PairMAE) else {}
    motion = warp_frames(torch.cat([batch['inputs'][:, 1] for batch in batches]), model.backbone.patch_resolution)
    features = feature_accuracy(model, motion)
    attention = attention_accuracy(model, motion) if isinstance(model, PairMAE) else None
    result = dict(
        pairs=len(motion.frames),
        loss=errors,
        feature_accuracy=features.accuracy,
        feature_chance=features.chance,
        attention_accuracy=attention and attention.accuracy,
        attention_chance=attention and attention.chance,
        attention_other=None,
    )
    if isinstance(getattr(model, 'neck', None), JointPairDecoder):
        mass = attention_share(model, batches)
        result.update(attention_other=mass.other.tolist(), attention_own=mass.own.tolist())
    return result


def early(out: str, method: str, changes: dict, checkpoint: str | None, seed: int, pairs: int) -> dict[str, Any]:
    """Compute :func:`measure_held_out` of a checkpoint, or of random weights."""
    config = run_config(out, method, changes, 2, seed)
    return measure_held_out(load(config, checkpoint, seed), held_out_pairs(out, pairs, input_size(config)))


def frozen(
    out: str,
    method: str,
    changes: dict,
    checkpoint: str | None,
    seed: int,
    davis: str,
    short_side: int,
    frames: int,
) -> dict[str, Any]:
    """Compute :func:`propagation_scores` of the encoder of a checkpoint, or of a random encoder."""
    backbone = load(run_config(out, method, changes, 2, seed), checkpoint, seed).backbone
    divisor = getattr(backbone, 'encoder', backbone).patch_size
    return propagation_scores(backbone, davis, frames, short_side=short_side, divisor=divisor)


def track(
    out: str,
    name: str,
    changes: dict,
    checkpoint: str | None,
    seed: int,
    train: str,
    test: str,
    pairs: int,
    iters: int,
) -> dict[str, Any]:
    """Fine-tune the small tracker from a checkpoint, and score it in tracking and localization (``pairs/iou``)."""
    config = tracker_config(train, test, iters)
    config.merge_from_dict(changes)
    config.work_dir = f'{out}/fine_tuning/{name}'
    return fine_tune(config, checkpoint or '', iters, seed, functools.partial(score_pairs, count=pairs))


def segment(
    out: str,
    name: str,
    changes: dict,
    checkpoint: str | None,
    seed: int,
    davis: str,
    train: list[str],
    test: list[str],
    frames: int,
    iters: int,
) -> dict[str, Any]:
    """Fine-tune the small DropSeg from a checkpoint, and score it on the first frames of test sequences."""
    config = segmentation_config('dropseg', davis, train, test, iters)
    config.merge_from_dict(changes)
    config.test_dataloader.num_workers = 0
    config.test_dataloader.dataset.pipeline.insert(0, dict(type='mmvidmae.FirstFrames', count=frames))
    config.work_dir = f'{out}/fine_tuning/{name}'
    return fine_tune(config, checkpoint or '', iters, seed)


JOBS: dict[str, Callable[..., dict[str, Any]]] = dict(
    pretrain=pretrain, early=early, frozen=frozen, track=track, segment=segment
)
"""Jobs by name."""
