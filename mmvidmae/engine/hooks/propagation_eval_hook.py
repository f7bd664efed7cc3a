"""Label propagation scores during pre-training."""

import copy
import time
from typing import Any

from mmengine.dist import broadcast_object_list, get_rank, get_world_size
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.distributed.fsdp import FullyShardedDataParallel

from mmvidmae.engine.unwrap import unwrapped_model
from mmvidmae.registry import DATASETS, HOOKS, MODELS

KEY = 'propagation_eval_videos'
"""Key of checkpoints with the names of the scored videos."""


@HOOKS.register_module()
class PropagationEvalHook(Hook):
    """Scores the current encoder by label propagation every few epochs.

    The scores go to the log and to all visualization backends as ``propagation/<name>``, at the same iteration as the
    loss. The hook scores a frozen copy of the encoder. The training model, its mode and the random state do not change.

    All evaluations of a run use the same videos, so that their scores are comparable. Before the first evaluation, the
    hook times the first video. It then takes as many videos from the start of the list as fit into ``max_seconds``, at
    least one. Checkpoints store their names.

    Args:
        dataset: Config of a dataset of annotated videos, with its pipeline (``docs/evaluation_data.md``).
        metric: Config of the metric.
        protocol: How labels are propagated, as in ``LabelPropagator``.
        interval: Epochs between evaluations. The last epoch is always evaluated.
        max_seconds: Approximate time limit of an evaluation.
        distributed: Whether all ranks share the videos. Otherwise rank 0 scores them all while the others wait.
        before_train: Whether to score the encoder also before the first epoch.
        batch_size: Frames that the encoder processes at a time.
        encoder: Dotted path of the encoder in the model, such as ``'teacher.backbone'`` of :class:`TCoRe`.
    """

    priority = 'LOW'  # after the loss of the epoch's last iteration is logged

    def __init__(
        self,
        dataset: dict,
        metric: dict,
        protocol: str | dict = 'cropmae',
        interval: int = 20,
        max_seconds: float = 60.0,
        distributed: bool = True,
        before_train: bool = True,
        batch_size: int = 4,
        encoder: str = 'backbone',
    ) -> None:
        if interval < 1 or not max_seconds > 0:
            raise ValueError(
                f'interval must be at least 1 epoch and max_seconds above 0, got {interval} and {max_seconds}'
            )
        self.dataset = DATASETS.build(dataset)
        self.evaluator = Evaluator(metric)
        self.evaluator.dataset_meta = self.dataset.metainfo
        self.protocol = protocol
        self.interval = interval
        self.max_seconds = max_seconds
        self.distributed = distributed
        self.at_start = before_train
        self.batch_size = batch_size
        self.encoder = encoder
        self.videos: list[str] | None = None

    def before_train(self, runner: Runner) -> None:
        """Score the untrained encoder, unless this is a resumed run.

        Raises:
            ValueError: If the model is sharded (FSDP), because no rank has the whole encoder.
        """
        if isinstance(runner.model, FullyShardedDataParallel):
            raise ValueError(
                'PropagationEvalHook needs the whole encoder, but with FSDP each process has a part of it: remove the '
                'hook from custom_hooks and score checkpoints with tools/test.py (docs/evaluation.md)'
            )
        if self.at_start and runner.iter == 0:
            self._evaluate(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Score the encoder every ``interval`` epochs and after the last."""
        if self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner):
            self._evaluate(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Store the names of the scored videos."""
        if self.videos is not None:
            checkpoint[KEY] = self.videos

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Continue with the videos of the resumed run if the dataset has them all."""
        known = {self.dataset.get_data_info(index)['video_name'] for index in range(len(self.dataset))}
        videos = checkpoint.get(KEY)
        if videos and known.issuperset(videos):
            self.videos = videos

    def _evaluate(self, runner: Runner) -> None:
        model = unwrapped_model(runner)
        # frames are normalized as in training
        buffers = dict(model.data_preprocessor.named_buffers())
        normalization = {name: buffers[name].flatten().tolist() for name in ('mean', 'std') if name in buffers}
        propagator = MODELS.build(
            dict(
                type='mmvidmae.LabelPropagator',
                backbone=copy.deepcopy(model.get_submodule(self.encoder)),
                protocol=self.protocol,
                batch_size=self.batch_size,
                data_preprocessor=normalization,
            )
        ).to(next(model.backbone.parameters()).device)

        rank, world = (get_rank(), get_world_size()) if self.distributed else (0, 1)
        start = time.perf_counter()
        if self.videos is None:
            self.videos = self._choose(propagator, world)
        indices = [
            index
            for index in range(len(self.dataset))
            if self.dataset.get_data_info(index)['video_name'] in self.videos
        ]
        for index in indices[rank::world] if self.distributed or get_rank() == 0 else ():
            batch = self._batch(index)
            self.evaluator.process(data_samples=propagator.test_step(batch), data_batch=batch)
        metrics = self.evaluator.evaluate(len(indices))
        seconds = time.perf_counter() - start

        scores = {f'propagation/{name.rsplit("/", 1)[-1]}': value for name, value in metrics.items()}
        runner.visualizer.add_scalars(scores, step=runner.iter)
        shown = ', '.join(f'{name} {value:.4f}' for name, value in scores.items())
        runner.logger.info(f'Propagation at iteration {runner.iter}, {len(indices)} videos in {seconds:.0f} s: {shown}')

    def _choose(self, propagator: Any, world: int) -> list[str]:
        """Names of the videos that fit into the time limit, the same on all ranks."""
        frames = [len(self.dataset.get_data_info(index)['frame_paths']) for index in range(len(self.dataset))]
        chosen = [None]
        if get_rank() == 0:
            start = time.perf_counter()
            propagator.test_step(self._batch(0))
            affordable = self.max_seconds * world * frames[0] / (time.perf_counter() - start)
            total, count = 0, 0
            while count < len(frames) and (count == 0 or total + frames[count] <= affordable):
                total += frames[count]
                count += 1
            chosen = [[self.dataset.get_data_info(index)['video_name'] for index in range(count)]]
        broadcast_object_list(chosen)
        return chosen[0]

    def _batch(self, index: int) -> dict:
        item = self.dataset[index]
        return dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
