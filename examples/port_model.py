"""A model of the PyTorch port, sampled as it is, and scored against its graders by the energy distance.

    python examples/port_model.py               # no data needed: synthetic lesions whose true distribution is known

`Port` stands for the class that you import from your clone of the port: what matters is that its networks are called
unet, prior and fcomb. fastpunet runs its networks, compares its fcomb with the kernels, and changes nothing on it.
"""

import time

import torch
from torch import Tensor, nn

import fastpunet
from fastpunet.data.lesions import SyntheticLesions


class Port(nn.Module):
    """The port's attributes and calls around trained networks."""

    def __init__(self, trained: fastpunet.ProbabilisticUNet) -> None:
        super().__init__()
        self.unet, self.prior, self.fcomb = trained.unet, trained.prior, trained.fcomb

    def forward(self, patch: Tensor, segm: Tensor | None = None, training: bool = False) -> None:  # noqa: ARG002
        self.unet_features, self.prior_latent_space = self.unet(patch), self.prior(patch)

    def sample(self, testing: bool = True) -> Tensor:  # noqa: ARG002
        return self.fcomb(self.unet_features, self.prior_latent_space.sample())


def own_loop(net: Port, images: Tensor, n: int) -> Tensor:
    """How the port is used: uint8 (B, n, H, W), one pass of fcomb for each hypothesis."""
    with torch.no_grad():
        net(images)
        return torch.stack([(net.sample() > 0)[:, 0] for _ in range(n)], 1).byte()


def main(n: int = 200, images: int = 16) -> dict[str, float]:
    """Energy distances (unbiased: 0 is perfect) of the port's own hypotheses and of ours, and the seconds they took."""
    net = Port(fastpunet.load("lesions")).eval()
    cases = [SyntheticLesions(images, seed=1)[i] for i in range(images)]
    pictures = torch.stack([torch.from_numpy(case.image) for case in cases])
    graders = torch.stack([torch.from_numpy(case.masks) for case in cases])
    weights = torch.stack([torch.from_numpy(case.weights) for case in cases])
    torch.manual_seed(0)
    found = {}
    for name, draw in {"own loop": own_loop, "fastpunet": lambda *a: fastpunet.sample(*a, seed=0)}.items():
        start = time.perf_counter()
        masks = draw(net, pictures, n)
        found[f"{name}, seconds"] = time.perf_counter() - start
        found[name] = float(fastpunet.energy_distance(masks, graders, weights=weights).unbiased.mean())
    return found


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name:20} {value:.3f}")
