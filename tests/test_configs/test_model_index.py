"""The model index, metafiles and READMEs tell the truth about the configs."""

import re
from pathlib import Path

import modelindex.load_model_index as modelindex
import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[2]
METHODS = ('dropmae', 'siammae', 'cropmae', 'tobo', 'catmae', 'rsp')
DATA = {'k400': 'Kinetics-400', 'k700': 'Kinetics-700', 'in1k': 'ImageNet-1k'}


def entries(method: str) -> dict[str, dict]:
    metafile = yaml.safe_load((ROOT / f'configs/{method}/metafile.yml').read_text())
    return {entry['Name']: entry for entry in metafile['Models']}


def recipes(method: str) -> list[Path]:
    return sorted(path for path in (ROOT / 'configs' / method).glob('*.py') if not path.stem.endswith('demo'))


@pytest.fixture(scope='module')
def measured() -> dict[str, tuple[int, int, int]]:
    """Of each recipe the parameters, those of the encoder, and the multiply-adds of the forward pass of a clip."""
    results, known = {}, {}
    for path in (path for method in METHODS for path in recipes(method)):
        model_config = Config.fromfile(path).model
        if str(model_config) not in known:
            with DefaultScope.overwrite_default_scope('mmpretrain'), torch.device('meta'), torch.no_grad():
                model = MODELS.build(model_config).eval()
                tokens = model.num_frames * (224 // model.backbone.patch_size) ** 2
                with FlopCounterMode(display=False) as counter:
                    model.forward_pretrain(torch.empty(1, model.num_frames, 3, 224, 224), torch.empty(1, tokens))
            sizes = [sum(p.numel() for p in part.parameters()) for part in (model, model.backbone)]
            known[str(model_config)] = (*sizes, counter.get_total_flops() // 2)
        results[path.stem] = known[str(model_config)]
    return results


def test_flops_by_hand(measured):
    """DropMAE ViT-B/16: what the blocks, projections, patch embedding and prediction multiply, summed by hand."""

    def block(tokens: int, dims: int) -> int:
        return 12 * tokens * dims**2 + 2 * tokens**2 * dims

    encoder = 392 * 768 * 768 + 12 * block(98, 768)
    decoder = 98 * 768 * 512 + 8 * block(392, 512) + 392 * 512 * 768
    assert measured['dropmae_vit-base-p16_64xb64-amp-coslr-400e_k400'][2] == encoder + decoder


def test_every_folder_has_a_readme_and_a_metafile_in_the_index():
    imports = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    folders = [path for path in (ROOT / 'configs').iterdir() if path.is_dir() and path.name != '_base_']
    assert sorted(imports) == sorted(f'configs/{folder.name}/metafile.yml' for folder in folders)
    assert all((folder / 'README.md').is_file() for folder in folders)


def test_model_index_lists_every_model_with_its_config():
    """By the library that mim and mmpretrain read it with. Tests and demos are not models; mmseg builds its own."""
    index = modelindex.load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    files = {path.stem: path for path in (ROOT / 'configs').glob('*/*.py')}
    files = {name: path for name, path in files.items() if not re.search('_test-|_demo$|_runtime$|^fcn_', name)}
    assert {model.name: ROOT / model.config for model in index.models} == files
    collections = {collection.name: collection for collection in index.collections}
    for model in index.models:
        assert (ROOT / collections[model.in_collection].readme).parent == files[model.name].parent or (
            files[model.name].parent.name == 'small'
        )
        folder = files[model.name].parent
        assert (
            folder.name in ('propagation', 'frozen_tracking')
            or f'(./{model.name}.py)' in (folder / 'README.md').read_text()
        )


@pytest.mark.parametrize('method', METHODS)
def test_metafile_agrees_with_the_configs(method, measured):
    models = entries(method)
    collections = yaml.safe_load((ROOT / f'configs/{method}/metafile.yml').read_text())['Collections']
    for name, entry in models.items():
        config = Config.fromfile(ROOT / entry['Config'])
        assert Path(entry['Config']).stem == name
        assert entry['In Collection'] in [collection['Name'] for collection in collections]
        assert config.model.type == f'mmvidmae.{entry["In Collection"]}'
        parameters, _, flops = measured[name]
        assert entry['Metadata'] == {
            'Epochs': config.train_cfg.max_epochs,
            'Batch Size': config.auto_scale_lr.base_batch_size,
            'FLOPs': flops,
            'Parameters': parameters,
            'Training Data': DATA[name.rpartition('_')[2]],
        }


@pytest.mark.parametrize('method', METHODS)
def test_readme_lists_every_config_with_its_numbers(method, measured):
    folder = ROOT / 'configs' / method
    rows = {}
    for line in (folder / 'README.md').read_text().splitlines():
        if link := re.search(r'\| *\[config\]\(\./(\S+\.py)\)', line):
            rows[link[1]] = line
    assert rows.keys() == {str(path.relative_to(folder)) for path in folder.rglob('*.py')}
    for path in recipes(method):
        numbers = [float(cell) for cell in re.findall(r'\| *(\d+\.\d\d) (?=\|)', rows[path.name])]
        assert numbers == [round(value / scale, 2) for value, scale in zip(measured[path.stem], (1e6, 1e6, 1e9))]
