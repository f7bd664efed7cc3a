"""Entry points of ``torch.hub``.

Example::

    encoder = torch.hub.load('/path/to/mmvidmae', 'encoder', source='local', folder_or_repo_id='my_encoder')
    model = torch.hub.load('/path/to/mmvidmae', 'model', 'my_config.py', 'epoch_400.pth', source='local', device='cpu')
"""

from mmvidmae.apis import from_pretrained as encoder
from mmvidmae.apis import get_model as model

dependencies = ['torch', 'torchvision', 'mmcv', 'mmengine', 'mmpretrain', 'safetensors']
__all__ = ['dependencies', 'encoder', 'model']
