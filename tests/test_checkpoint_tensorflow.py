"""Checkpoints that TensorFlow wrote: the same numbers without it, and damage refused in one line.

tests/data/tensorflow_release was made by helpers/tensorflow_release.py.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.mutated_files import mutate
from helpers.tensorflow_tables import table

from fastpunet import Sampler, load
from fastpunet.models.tensorflow.crc32c import crc32c
from fastpunet.models.tensorflow.snappy import unpack
from fastpunet.models.tensorflow.table import entries
from fastpunet.models.tensorflow.varints import message_fields

FOLDER = Path(__file__).parent / "data" / "tensorflow_release"
NAME = "model.ckpt-1"


@pytest.fixture
def copied(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("source", [FOLDER, FOLDER / NAME, FOLDER / f"{NAME}.index"])
def test_the_release_gives_what_tensorflow_gave(source):
    model = load(source)
    assert model.config == dict(
        in_channels=3,
        num_classes=5,
        channels=[4, 6, 8],
        latent_dim=3,
        convs_per_block=3,
        fcomb_layers=4,
        fcomb_channels=None,
        latent_maps=0,
        posterior_input="one-hot",
        log_sigma_bound=None,
        prior_scale=1.0,
        dims=2,
        kernel_sizes=None,
        pool_sizes=None,
    )
    recorded = {name: torch.from_numpy(values) for name, values in np.load(FOLDER / "recorded.npz").items()}
    images = recorded["images"].movedim(-1, 1).contiguous()
    sampler = Sampler(model, precision="ieee")
    encoding = sampler.encode(images)
    posterior = model.posterior_of(images, recorded["labels"].long())
    for got, name in (
        (encoding.features.movedim(1, -1), "features"),
        (sampler.decode(encoding, recorded["z"][:, None], output="logits")[:, 0].movedim(1, -1), "logits"),
        (encoding.prior.mu, "mu"),
        (encoding.prior.sigma, "sigma"),
        (posterior.mean, "posterior_mu"),
        (posterior.stddev, "posterior_sigma"),
    ):
        torch.testing.assert_close(got, recorded[name], rtol=1e-5, atol=1e-6)


def test_a_folder_means_its_latest_checkpoint(copied):
    for suffix in ("index", "data-00000-of-00001"):
        shutil.copy(copied / f"{NAME}.{suffix}", copied / f"model.ckpt-2.{suffix}")
    with open(copied / f"{NAME}.index", "r+b") as file:
        file.write(b"\xff" * 100)
    with pytest.raises(ValueError, match=r"model\.ckpt-1\.index is damaged"):
        load(copied)
    (copied / "checkpoint").write_text('model_checkpoint_path: "/where/it/was/trained/model.ckpt-2"\n')
    assert load(copied).num_classes == 5
    (copied / "checkpoint").unlink()
    with pytest.raises(ValueError, match=r"source: .* holds 2 checkpoints of TensorFlow; name one of them"):
        load(copied)


def test_what_is_missing_is_named(copied):
    (copied / f"{NAME}.data-00000-of-00001").rename(copied / "other")
    with pytest.raises(
        ValueError, match=r"not complete: the file model\.ckpt-1\.data-00000-of-00001, .* is not beside"
    ):
        load(copied / NAME)
    with pytest.raises(ValueError, match="nor the index of a TensorFlow checkpoint"):
        load(copied / "other")


def test_changed_weights_are_refused(copied):
    entry = message_fields(dict(entries((copied / f"{NAME}.index").read_bytes()))[b"prob_unet/prior/conv_2d/w"])
    start = entry[4][0]
    data = copied / f"{NAME}.data-00000-of-00001"
    content = data.read_bytes()
    data.write_bytes(content[:start] + bytes([content[start] ^ 1]) + content[start + 1 :])
    with pytest.raises(ValueError, match="prob_unet/prior/conv_2d/w does not agree with its checksum"):
        load(copied)
    data.write_bytes(content[: start + 1])
    with pytest.raises(ValueError, match=r"data-00000-of-00001 ends before prob_unet"):
        load(copied)


def _refusal(source):
    try:
        load(source)
    except (ValueError, FileNotFoundError) as error:
        return str(error)
    return None


@pytest.mark.parametrize(("suffix", "count"), [("index", 150), ("data-00000-of-00001", 40)])
def test_damaged_files_are_refused_in_one_line(suffix, count, copied):
    path = copied / f"{NAME}.{suffix}"
    content = path.read_bytes()
    refusals = []
    for seed in range(count):
        path.write_bytes(mutate(content, np.random.default_rng(seed)))
        refusals.append(_refusal(copied / NAME))
    said = [refusal for refusal in refusals if refusal is not None]
    assert len(said) > count / 4
    assert all(refusal.startswith("checkpoint: ") and "\n" not in refusal for refusal in said)


def test_variables_of_another_network_are_refused(copied):
    index, entry = copied / f"{NAME}.index", dict(entries((FOLDER / f"{NAME}.index").read_bytes()))
    w = entry[b"prob_unet/prior/conv_2d/w"]
    index.write_bytes(table({**entry, b"prob_unet/prior/head/w": w}))
    with pytest.raises(ValueError, match=r"the variable prior/head/w has no place in the published network"):
        load(copied)
    index.write_bytes(table({b"": entry[b""], b"vae/w": w}))
    with pytest.raises(ValueError, match="not a Probabilistic U-Net whose names are known.*found vae/w"):
        load(copied)


def test_compressed_blocks_are_read_and_bombs_are_not(copied):
    index, entry = copied / f"{NAME}.index", dict(entries((FOLDER / f"{NAME}.index").read_bytes()))
    expected = load(copied).state_dict()
    index.write_bytes(table(entry, compress=True))
    assert all(torch.equal(expected[name], tensor) for name, tensor in load(copied).state_dict().items())
    assert unpack(bytes([6, 0, 97, 2 | 4 << 2, 1, 0]), 10) == b"aaaaaa"
    for bomb, reason in (
        (bytes([0xFF, 0xFF, 0xFF, 0xFF, 0x0F]), "claims"),
        (bytes([6, 0, 97]), "cut off"),
        (bytes([6, 0, 97, 2, 9, 0]), "refers to what is not there"),
        (bytes([1, 0, 97, 0, 97]), "holds more than it claims"),
        (bytes([6, 0xF0]), "cut off"),
    ):
        with pytest.raises(ValueError, match=reason):
            unpack(bomb, 1000)


def test_checksums():
    assert crc32c(b"") == 0
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4
    assert crc32c(bytes([255] * 32)) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
