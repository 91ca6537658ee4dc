"""A Probabilistic U-Net around a network of another library: trained for a moment, sampled, built again and loaded.

python examples/own_unet.py monai         # or smp, timm: pip install segmentation-models-pytorch
"""

import sys

import torch
from torch import nn

import fastpunet
from fastpunet.data.graders import OneGrader
from fastpunet.data.lesions import SyntheticLesions


def network(library: str, features: int = 16) -> nn.Module:
    """Any module will do that takes images (B, 1, H, W) and gives (B, features, H, W)."""
    if library == "monai":
        from monai.networks.nets import UNet

        return UNet(spatial_dims=2, in_channels=1, out_channels=features, channels=(16, 32, 64), strides=(2, 2))
    import segmentation_models_pytorch as smp

    encoder = {"smp": "resnet18", "timm": "tu-resnet18"}[library]  # "tu-": an encoder of timm
    return smp.Unet(encoder, encoder_weights=None, in_channels=1, classes=features)


def model_around(library: str) -> fastpunet.ProbabilisticUNet:
    """`channels` are the widths of the prior and posterior nets."""
    return fastpunet.ProbabilisticUNet(channels=(16, 32, 64), latent_dim=3, unet=network(library))


def train(model: fastpunet.ProbabilisticUNet, steps: int, batch: int = 8) -> list[float]:
    """Minimise the negative evidence lower bound; returns it for each step, in nats an image."""
    records = OneGrader(SyntheticLesions(steps * batch, seed=0), seed=0)
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=1e-3), []
    for step in range(steps):
        cases = records[step * batch : (step + 1) * batch]
        images = torch.stack([torch.from_numpy(case.image) for case in cases])
        terms = model.elbo(images, torch.stack([torch.from_numpy(case.masks).long() for case in cases]))
        losses.append((terms.reconstruction + terms.kl.sum(-1)).mean())
        optimizer.zero_grad()
        losses[-1].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 100.0)
        optimizer.step()
    return [float(loss.detach()) for loss in losses]


if __name__ == "__main__":
    torch.manual_seed(0)
    model, image = model_around(sys.argv[1]), torch.from_numpy(SyntheticLesions(1, seed=1)[0].image)[None]
    losses = train(model, steps=int(sys.argv[2]) if len(sys.argv) > 2 else 60)
    print(f"negative evidence lower bound: {losses[0]:.0f} nats at first, {losses[-1]:.0f} after {len(losses)} steps")
    again = model_around(sys.argv[1])  # fastpunet.save cannot describe such a network: keep model.state_dict()
    again.load_state_dict(model.state_dict())
    masks, equal = (fastpunet.sample(one, image, n=1000, seed=0) for one in (model, again))
    print(f"areas of 1000 hypotheses: standard deviation {masks.flatten(2).sum(2).float().std():.0f} pixels")
    print("equal after loading:", torch.equal(masks, equal))
