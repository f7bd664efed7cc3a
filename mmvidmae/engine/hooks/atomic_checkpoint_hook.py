"""Checkpoints that survive a kill at any moment."""

import os
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmvidmae.compat.checkpoint_globals import restore_histories, to_plain
from mmvidmae.registry import HOOKS
from mmvidmae.utils.files import PARTIAL, atomic_write

PREEMPTED = 'preempted.pth'
"""Name of the checkpoint of a run that was stopped within an epoch."""


def latest_checkpoint(work_dir: str | Path) -> str | None:
    """Path of the latest checkpoint of a work dir, or None.

    ``last_checkpoint`` names it relative to the work dir, so the folder can be moved and copied. MMEngine writes an
    absolute path. A file of that name in the work dir takes precedence.

    Raises:
        FileNotFoundError: If ``last_checkpoint`` names a missing file.
    """
    note = Path(work_dir, 'last_checkpoint')
    if not note.exists():
        return None
    named = note.read_text(encoding='utf-8').strip()
    if '://' in named:
        return named
    here, there = Path(work_dir, Path(named).name), Path(work_dir, named)
    for path in (here, there) if Path(named).is_absolute() else (there,):
        if path.exists():
            return str(path)
    raise FileNotFoundError(
        f'{note} names {named}, which is not there. Choose another checkpoint (--resume CHECKPOINT), or delete '
        'last_checkpoint to start from scratch'
    )


@register_backend('mmvidmae.atomic', force=True)
class AtomicLocalBackend(LocalBackend):
    """MMEngine's local file backend with :func:`atomic_write`."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a file."""
        with atomic_write(filepath, sync=True) as part:
            part.write_bytes(obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text to a file."""
        self.put(obj.encode(encoding), filepath)


class _RemoveLater:
    """A file backend that delays removals until :meth:`finish`."""

    def __init__(self, backend: LocalBackend) -> None:
        self._backend = backend
        self._waiting = []

    def __getattr__(self, name: str):
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._waiting.append((self._backend.remove, path))

    def rmtree(self, path: str) -> None:
        self._waiting.append((self._backend.rmtree, path))

    def finish(self) -> None:
        for remove, path in self._waiting:
            remove(path)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, safe against a kill at any moment.

    From the first save on, there is always a complete latest checkpoint, and ``last_checkpoint`` names it. Both are
    written with :func:`atomic_write`. An outdated checkpoint is removed only after its successor is complete. MMEngine
    0.10.7 writes in place and removes first: with ``max_keep_ckpts=1``, a kill during a save leaves nothing. A resumed
    run removes incomplete files. A work dir can be moved or copied and resumes from its own checkpoints (see
    :func:`latest_checkpoint`).

    Checkpoints contain only tensors, numbers, strings and containers of these. ``torch.load`` therefore reads them with
    ``weights_only=True`` without this package. MMEngine stores its log history as objects, which torch >= 2.6 refuses.

    Takes the arguments of ``CheckpointHook``. With a remote ``out_dir`` or a given ``backend_args``, that backend
    writes.
    """

    def before_run(self, runner: Runner) -> None:
        """Find the checkpoint to resume from."""
        if runner._resume is not True or runner._load_from is not None or runner._has_loaded:
            return
        runner._load_from = latest_checkpoint(runner.work_dir)
        if runner._load_from is None:
            runner._resume = False
            runner.logger.info(f'There is no checkpoint in {runner.work_dir}: training starts from scratch')

    def before_train(self, runner: Runner) -> None:
        """Choose the file backend and remove files that an earlier run did not finish."""
        local = '://' not in str(self.out_dir or runner.work_dir)
        atomic = local and self.backend_args is None and self.file_client_args is None
        if atomic:
            self.backend_args = dict(backend='mmvidmae.atomic')
        super().before_train(runner)
        if atomic and is_main_process():
            for part in Path(self.out_dir).glob(f'.*{PARTIAL}'):  # also of other machines
                part.unlink()
        # A resumed run removes best checkpoints only in its own work dir.
        if getattr(self, 'best_ckpt_path', None):
            self.best_ckpt_path = self._own(self.best_ckpt_path)
        for metric, path in getattr(self, 'best_ckpt_path_dict', {}).items():
            self.best_ckpt_path_dict[metric] = path and self._own(path)

    def _own(self, path: str) -> str:
        return self.file_backend.join_path(self.out_dir, Path(path).name)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Replace objects by plain containers."""
        for key in checkpoint.keys() - {'state_dict', 'optimizer'}:
            checkpoint[key] = to_plain(checkpoint[key])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Restore the objects in a resumed run."""
        if 'message_hub' in checkpoint:
            restore_histories(checkpoint['message_hub'])

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        expired = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            kept = [*self.keep_ckpt_ids, step]
            # The checkpoint also names outdated ones: after a kill, the resumed run removes them.
            runner.message_hub.update_info('keep_ckpt_ids', kept)
            expired = kept[: -self.max_keep_ckpts]
            self.keep_ckpt_ids.append(step)  # a deque of this length

        self._save(runner, self.filename_tmpl.format(step), meta, self.by_epoch)
        if is_main_process():
            self._remove(*(self.filename_tmpl.format(old_step) for old_step in expired), PREEMPTED)

    def save_preempted(self, runner: Runner, by_epoch: bool) -> None:
        """Save ``preempted.pth`` as the latest checkpoint. The next regular one replaces it.

        Args:
            runner: The runner, after a training iteration.
            by_epoch: Whether this is the end of an epoch.
        """
        self._save(runner, PREEMPTED, {}, by_epoch)  # the runner adds epoch and iteration

    def _save(self, runner: Runner, filename: str, meta: dict, by_epoch: bool) -> None:
        self.last_ckpt = self.file_backend.join_path(self.out_dir, filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            filename,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if not is_main_process():
            return
        remote = '://' in self.last_ckpt
        named = self.last_ckpt if remote else os.path.relpath(self.last_ckpt, runner.work_dir)
        AtomicLocalBackend().put_text(named, Path(runner.work_dir, 'last_checkpoint'))

    def _remove(self, *filenames: str) -> None:
        for filename in filenames:
            path = self.file_backend.join_path(self.out_dir, filename)
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):  # sharded checkpoints are folders
                self.file_backend.rmtree(path)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        backend = self.file_backend
        self.file_backend = _RemoveLater(backend)
        super()._save_best_checkpoint(runner, metrics)
        self.file_backend.finish()
        self.file_backend = backend
