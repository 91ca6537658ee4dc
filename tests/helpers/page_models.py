"""Small models with pages: random weights whose hypotheses differ."""

import torch

import fastpunet


def varied(in_channels, num_classes, *, latent_maps=0, seed=0):
    """A Probabilistic U-Net with random weights; its latent moves much of the label map."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = fastpunet.ProbabilisticUNet(
            in_channels, num_classes, channels=(8, 16, 24), latent_dim=4, convs_per_block=1, latent_maps=latent_maps
        )
    model.eval()
    image = smooth_image(in_channels, (32, 32))[None]
    with torch.no_grad():  # features and latents weigh alike, and each class has its share
        model.fcomb.layers[0].weight[:, :8] *= 2 / model.unet(image).std((2, 3)).mean()
        drawn = fastpunet.sample(model, image, n=64, seed=0, output="logits")[0]
        model.fcomb.last_layer.bias -= drawn.movedim(1, 0).flatten(1).median(1).values
    return model


def smooth_image(channels, size, seed=0):
    """An image float (channels, *size) in [0, 1] of a few waves."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, channels, 5, 5, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)[0]
