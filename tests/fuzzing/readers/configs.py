"""Configs of training in YAML, and splits in JSON."""

from functools import cache

from fastpunet.data.lidc.prepare.splits import read_split
from fastpunet.parsing import Parser, read_yaml
from fastpunet.training.config_file import add_config_keys, recipes, to_config
from fuzzing.target import Target


@cache
def _parser():
    parser = Parser("fastpunet train", "")
    add_config_keys(parser)
    return parser


def _read(path):
    to_config(_parser().parse_keys(read_yaml(path)))


def _configs():
    own = [path.read_bytes() for path in recipes().values()]
    return [
        *own,
        b"steps: 1e3\nmodel: {class_path: os.system, init_args: {command: 'true'}}\n",
        b"a: !!python/name:os\n",
    ]


def targets():
    yield Target("config", "x.yaml", _read, _configs, refusals=(ValueError, OSError, TypeError))
    yield Target("split", "x.json", read_split, lambda: [b'{"train": ["a", "b"], "val": ["c"], "test": []}'])
