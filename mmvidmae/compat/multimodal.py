"""mmpretrain beside a new transformers.

What: with ``transformers`` 5 and ``pycocotools`` installed, ``import mmpretrain.models`` fails, and everything that
needs it: ``TypeError: NoneType takes no arguments``.

Why: mmpretrain (1.2.0, ``utils/dependency.py``) imports its multi-modal models if any version of these two packages
is installed. The models subclass and call functions of ``transformers.modeling_utils`` that version 5 has moved.

Until: mmpretrain checks the versions or supports the new ones.
"""

import importlib

from mmengine.logging import print_log


def leave_out_broken_multimodal() -> None:
    """Let mmpretrain register placeholders for its multi-modal models, as it does without ``transformers``, if the
    installed one is too new for them."""
    dependency = importlib.import_module('mmpretrain.utils.dependency')
    if not dependency.WITH_MULTIMODAL:
        return
    try:
        modeling = importlib.import_module('transformers.modeling_utils')
    except ImportError:
        modeling = None
    if not hasattr(modeling, 'apply_chunking_to_forward'):
        dependency.WITH_MULTIMODAL = False
        print_log("mmpretrain's multi-modal models are not available: they need transformers < 5", 'current')
