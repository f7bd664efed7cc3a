from .prototype_losses import (
    BranchDifferenceLoss,
    ClassPrototypeLoss,
    KoLeoLoss,
    PatchPrototypeLoss,
    Predictions,
    PrototypeLoss,
)

__all__ = [
    'BranchDifferenceLoss',
    'ClassPrototypeLoss',
    'KoLeoLoss',
    'PatchPrototypeLoss',
    'Predictions',
    'PrototypeLoss',
]
