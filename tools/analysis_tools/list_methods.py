"""Print a Markdown table of the pre-training methods: what each config says for each choice of ``PairMAE``.

Example:
    python tools/analysis_tools/list_methods.py
    python tools/analysis_tools/list_methods.py my_method.py configs/_base_/models/siammae.py
"""

import argparse
from pathlib import Path

MODELS_DIR = Path(__file__).resolve().parents[2] / 'configs/_base_/models'
METHODS = ('dropmae', 'siammae', 'siammae_cropmae', 'cropmae', 'tobo', 'rsp', 'catmae', 'rvm')
COLUMNS = ('config', 'class', 'T', 'hidden of each frame', 'encoding', 'frame embedding', 'branches', 'block', 'target')


def describe(path: Path) -> list[str]:
    """Cells of a method, in the order of :data:`COLUMNS`."""
    import torch
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from mmvidmae.registry import MODELS

    init_default_scope('mmpretrain')
    with torch.device('meta'):
        model = MODELS.build(Config.fromfile(path).model)
    masking, encoder, neck = model.masking, model.backbone, model.neck
    ratio = getattr(masking, 'mask_ratio', getattr(masking, 'stride', None))
    hidden = (
        f'{ratio} jointly' if masking.joint else ', '.join(map(str, ratio if isinstance(ratio, tuple) else [ratio]))
    )
    embeds = dict(
        encoder=encoder.frame_embed,
        decoder=getattr(neck, 'frame_embed', None),
        memory=getattr(neck, 'memory_frame_embed', None),
        queries=getattr(neck, 'offset_embed', None),
    )
    embedded = ', '.join(name for name, parameter in embeds.items() if parameter is not None)
    block = neck.decoder_blocks[0]
    order = ', '.join(getattr(block, 'order', ('self', 'ffn')))
    spatial_drop = getattr(getattr(block, 'attn', None), 'spatial_drop', 0)
    norm = 'pre' if getattr(block, 'norm_first', True) else 'post'
    return [
        f'`{path.stem}`',
        f'`{type(model).__name__}`',
        str(model.num_frames),
        hidden,
        encoder.encoding,
        embedded or 'none',
        '; '.join(_branch(branch) for branch in neck.branches),
        f'{order}; {norm}-norm' + (f'; ASAD P = {spatial_drop}' if spatial_drop else ''),
        'normalized pixels' if model.head.norm_pix else 'pixels',
    ]


def _branch(branch) -> str:
    """One branch in words: what it predicts, and from what."""
    memory = [f'{frame}' + (' restored' if branch.memory_tokens == 'restored' else '') for frame in branch.memory]
    if branch.sampled_token:
        memory.insert(0, 'sampled token')
    reads = f' from {", ".join(memory)}' if memory else ''
    parts = [f'frame {", ".join(map(str, branch.targets))}{reads}']
    if branch.cls_token is not None:
        parts.append(f'class token of {branch.cls_token}')
    if branch.queries == 'mask':
        parts.append('mask tokens as queries')
    if branch.over == 'all':
        parts.append('loss over all patches')
    if branch.weight != 1:
        parts.append(f'weight {branch.weight}')
    return ' '.join((f'{branch.name}:' if branch.name else '', ', '.join(parts))).strip()


def table(paths: list[Path]) -> str:
    """Markdown table of methods."""
    rows = [COLUMNS, ['---'] * len(COLUMNS), *map(describe, paths)]
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'configs', nargs='*', type=Path, help='configs of PairMAE models (default: those of configs/_base_/models)'
    )
    args = parser.parse_args()
    print(table(args.configs or [MODELS_DIR / f'{name}.py' for name in METHODS]))


if __name__ == '__main__':
    main()
