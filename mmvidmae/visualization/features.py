"""Images of features."""

import numpy as np
import torch
from torch import Tensor


def principal_components(features: Tensor) -> Tensor:
    """Compute the three principal components of the patches of a frame, which serve as colors.

    Args:
        features: Feature map ``(D, h, w)``.

    Returns:
        ``(4, D)``: the mean of the patches, and three directions. A value of 0.5 along a direction is three standard
        deviations of the patches.
    """
    patches = features.flatten(1).mT.float().cpu()
    mean = patches.mean(0)
    _, values, directions = torch.linalg.svd(patches - mean, full_matrices=False)
    missing = max(0, 3 - len(values))  # of a frame with fewer than three patches
    scales = values[:3] / len(patches) ** 0.5 * 6
    directions = directions[:3] / scales.clamp(min=1e-6)[:, None]
    return torch.cat((mean[None], directions, directions.new_zeros(missing, len(mean))))


def draw_features(features: Tensor, components: Tensor) -> np.ndarray:
    """Color each patch by its features' coordinates along three principal components.

    Args:
        features: Feature map ``(D, h, w)``.
        components: Components of :func:`principal_components`, of this frame or of another one of the video. Patches
            with similar features then have similar colors in all frames.

    Returns:
        Image ``(h, w, 3)``, uint8 RGB.
    """
    patches = features.permute(1, 2, 0).float().cpu() - components[0]
    return ((patches @ components[1:].mT + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
