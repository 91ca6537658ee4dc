"""A Probabilistic U-Net around a network of another library: trained for a moment, then sampled.

python examples/own_unet.py monai
python examples/own_unet.py smp           # pip install segmentation-models-pytorch
python examples/own_unet.py timm          # pip install timm
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

import fastpunet
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.models import ProbabilisticUNet

FEATURES = 16


def monai() -> nn.Module:
    from monai.networks.nets import UNet

    return UNet(spatial_dims=2, in_channels=1, out_channels=FEATURES, channels=(16, 32, 64), strides=(2, 2))


def smp() -> nn.Module:
    import segmentation_models_pytorch

    return segmentation_models_pytorch.Unet("resnet18", encoder_weights=None, in_channels=1, classes=FEATURES)


def timm() -> nn.Module:
    return TimmFeatures("resnet18")


class TimmFeatures(nn.Module):
    """All scales of a timm encoder, reduced to `FEATURES` channels, interpolated to the image's size, and added."""

    def __init__(self, name: str) -> None:
        super().__init__()
        import timm

        self.encoder = timm.create_model(name, pretrained=False, features_only=True, in_chans=1)
        self.reduce = nn.ModuleList(nn.Conv2d(width, FEATURES, 1) for width in self.encoder.feature_info.channels())

    def forward(self, images: Tensor) -> Tensor:
        scales = [reduce(scale) for reduce, scale in zip(self.reduce, self.encoder(images), strict=True)]
        return sum(nn.functional.interpolate(scale, images.shape[2:], mode="bilinear") for scale in scales)


def model_around(library: str) -> ProbabilisticUNet:
    """The model; `channels` are the widths of its prior and posterior nets."""
    unet = {"monai": monai, "smp": smp, "timm": timm}[library]()
    return ProbabilisticUNet(channels=(16, 32, 64), latent_dim=3, unet=unet)


def train(model: ProbabilisticUNet, steps: int, images: int = 8) -> list[float]:
    """Minimise the negative evidence lower bound on synthetic lesions. Returns it for each step, in nats per image."""
    records = SyntheticLesions(steps * images, seed=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for step in range(steps):
        batch = [records[step * images + i] for i in range(images)]
        pictures = torch.stack([torch.from_numpy(record.image) for record in batch])
        chosen = [torch.from_numpy(record.weights).multinomial(4, replacement=True) for record in batch]
        graders = torch.stack([torch.from_numpy(r.masks)[rows] for r, rows in zip(batch, chosen, strict=True)])
        ids = torch.tensor([record.id for record in batch])
        terms = model.loss_terms(pictures, graders.long(), seed=0, ids=ids)
        loss = (terms.reconstruction + terms.kl.sum(-1)).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 100.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def main(library: str, steps: int = 60) -> None:
    torch.manual_seed(0)
    model = model_around(library)
    losses = train(model, steps)
    print(f"negative evidence lower bound: {losses[0]:.0f} nats at first, {losses[-1]:.0f} after {steps} steps")

    image = torch.from_numpy(SyntheticLesions(1, seed=1)[0].image)[None]
    masks = fastpunet.sample(model, image, n=1000, seed=0)
    areas = masks.flatten(2).sum(2, dtype=torch.long).float()
    print(f"areas of 1000 hypotheses: {areas.mean():.0f} pixels, standard deviation {areas.std():.0f}")

    with tempfile.TemporaryDirectory() as folder:  # fastpunet.save cannot describe a network of another library
        path = Path(folder) / "weights.pt"
        torch.save(model.state_dict(), path)
        again = model_around(library)
        again.load_state_dict(torch.load(path, weights_only=True))
    print("equal after loading:", torch.equal(fastpunet.sample(again, image, n=1000, seed=0), masks))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "monai")
