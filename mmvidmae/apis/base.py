"""What all inferencers share."""

import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.infer import BaseInferencer
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer
from torch import nn

from mmvidmae.datasets.sources import VIDEO_SUFFIXES

from .model_zoo import get_model, list_models, load_weights
from .videos import interruptible, write_images


class VideoInferencer(BaseInferencer):
    """Base of the inferencers.

    The steps are those of MMEngine's ``BaseInferencer``, but they are generators, because ``BaseInferencer`` keeps all
    inputs and predictions of a call in memory, and trackers carry state from frame to frame. A prediction is saved and
    drawn before the next one is computed, so the length of a video does not matter.

    - ``preprocess(inputs, batch_size, ...)`` opens the inputs. It returns a :class:`Source`.
    - ``forward(items, ...)`` takes the items of the source and yields a data sample for each frame or pair.
    - ``postprocess(preds, source, path, results, ...)`` saves the samples to ``path``, gathers
      ``results['predictions']``, and yields the samples again.
    - ``visualize(preds, vis_format)`` yields their images.

    After an interrupt (Ctrl-C), files are completed with the results so far, and :class:`Interrupted` is raised. An
    interrupt ends a camera stream as the end of a video does. A second interrupt stops at once.

    Args:
        model: Name of a model from :func:`list_models`, config file, config, or a model. It is put into evaluation
            mode.
        weights: Weights of the model, as of :func:`get_model`. Without weights, a model that is built is untrained,
            with a warning.
        device: Device of the model. By default, a model that is built goes to the GPU or another accelerator, if
            available, and a given model stays where it is.
        show_progress: Whether to show progress on stderr.

    Raises:
        FileNotFoundError: If there is no such model or config.
        ValueError: If the weights do not fit, or the model is not one for this task.
    """

    model_type: type[nn.Module]
    visualizer_type: type[Visualizer]
    formats: frozenset[str] = VIDEO_SUFFIXES
    _init_pipeline = None  # preprocess reads frames and pairs one by one

    def __init__(
        self,
        model: nn.Module | str | PathLike | Config,
        weights: str | PathLike | None = None,
        device: str | torch.device | None = None,
        show_progress: bool = True,
    ) -> None:
        # BaseInferencer.__init__ takes no model and loads weights without our checks
        if isinstance(model, nn.Module):
            if weights is not None:
                load_weights(model, weights)
            if device is not None:
                model.to(device)
        else:
            if weights is None:
                warnings.warn(
                    f'{model if isinstance(model, str | PathLike) else "the model"} has random weights: set weights',
                    stacklevel=2,
                )
            model = get_model(model, weights, device)
        if not isinstance(model, self.model_type):
            raise ValueError(f'{type(self).__name__} needs a {self.model_type.__name__}, got {type(model).__name__}')
        self.model: Any = model.eval()
        self.visualizer = self.visualizer_type()
        self.show_progress = show_progress

    list_models = staticmethod(list_models)

    def __call__(
        self,
        inputs: Any,
        return_datasamples: bool = False,
        batch_size: int = 1,
        out_dir: str | PathLike | None = None,
        save_pred: bool = True,
        save_vis: bool = True,
        vis_format: str = '.mp4',
        fps: float | None = None,
        **kwargs,
    ) -> dict[str, Any]:
        """Run all steps. Subclasses document the arguments."""
        preprocess_kwargs, forward_kwargs, _, postprocess_kwargs = self._dispatch_kwargs(**kwargs)
        if vis_format.lower() not in self.formats:
            raise ValueError(f'vis_format must be one of {" ".join(sorted(self.formats))}, got {vis_format!r}')
        source = self.preprocess(inputs, batch_size, **preprocess_kwargs)
        pred_path = Path(out_dir, 'preds', source.stem) if out_dir is not None and save_pred else None
        vis_path = Path(out_dir, 'vis', source.stem + vis_format) if out_dir is not None and save_vis else None
        results: dict[str, Any] = dict(predictions=None, visualization=None)
        samples: list[BaseDataElement] = []
        with (
            interruptible(source, self.forward(source.items, **forward_kwargs), self.show_progress) as preds,
            closing(self.postprocess(preds, source, pred_path, results, **postprocess_kwargs)) as preds,
        ):
            if return_datasamples:
                preds = _collect(preds, samples)
            if vis_path is not None and write_images(vis_path, self.visualize(preds, vis_format), fps or source.fps):
                results['visualization'] = str(vis_path)
            deque(preds, maxlen=0)
        return dict(results, predictions=samples) if return_datasamples else results

    def stream(self, inputs: Any, batch_size: int = 1, **kwargs) -> Iterator[BaseDataElement]:
        """Yield the prediction for each frame or pair as soon as it is computed. Nothing is saved or drawn.

        Args:
            inputs: As in :meth:`__call__`.
            batch_size: As in :meth:`__call__`.
            **kwargs: Arguments of :meth:`__call__` that select or describe what is computed.
        """
        preprocess_kwargs, forward_kwargs, _, _ = self._dispatch_kwargs(**kwargs)
        return self.forward(self.preprocess(inputs, batch_size, **preprocess_kwargs).items, **forward_kwargs)

    def visualize(self, preds: Iterable[BaseDataElement], vis_format: str = '.mp4') -> Iterator[np.ndarray]:
        """Draw predictions as they are computed. A lost frame is black. Yields images ``(H, W, 3)``, uint8 RGB.

        Args:
            preds: Predictions.
            vis_format: Suffix of the file that will hold the images.
        """
        frame = None
        for pred in preds:
            frame = pred.frame if 'frame' in pred else np.zeros_like(frame)
            yield self.visualizer.add_datasample(type(self).__name__, frame, pred, step=pred.frame_id)


def _collect(preds: Iterable[BaseDataElement], samples: list[BaseDataElement]) -> Iterator[BaseDataElement]:
    for pred in preds:
        samples.append(pred)
        yield pred
