"""The network: its published form, sizes, the objective."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Independent, Normal, kl_divergence

import fastpunet
from benchmarks.port import PortModel
from fastpunet import ProbabilisticUNet, sample
from fastpunet.models.gaussian import AxisAlignedGaussian
from fastpunet.models.unet import conv_block

SMALL = dict(channels=(8, 12, 16), latent_dim=3)


def test_equals_a_model_of_the_ports_shape_with_the_same_weights():
    torch.manual_seed(0)
    port = PortModel(3, 1, (8, 12, 16), 3)
    ours = ProbabilisticUNet(3, 1, **SMALL, log_sigma_bound=None, posterior_input="mask")
    ours.load_state_dict(port.state_dict())
    images, z = torch.rand(2, 3, 32, 40), torch.randn(2, 3)
    masks = torch.randint(0, 2, (2, 32, 40))
    port(images, masks[:, None].float(), training=True)
    features, prior = ours.unet(images), ours.prior(images)
    assert torch.equal(features, port.unet_features)
    assert torch.equal(prior.mean, port.prior_latent_space.mean)
    assert torch.equal(prior.stddev, port.prior_latent_space.stddev)
    posterior = ours.posterior_of(images, masks)
    assert torch.equal(posterior.mean, port.posterior_latent_space.mean)
    assert torch.equal(ours.fcomb(features, z), port.fcomb(port.unet_features, z))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (5, 7), (17, 16), (31, 33)])
@pytest.mark.parametrize("scales", [1, 2, 4])
def test_any_size_and_any_number_of_scales(size, scales):
    model = ProbabilisticUNet(2, 3, channels=(4, 5, 6, 7)[:scales], latent_dim=2)
    logits = model(torch.rand(2, 2, *size))
    assert logits.shape == (2, 3, *size)
    assert torch.isfinite(logits).all()


def test_nothing_is_left_on_the_model():
    model = ProbabilisticUNet(1, 1, **SMALL)
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    model.elbo(torch.rand(1, 1, 8, 8), torch.zeros(1, 8, 8, dtype=torch.uint8))
    assert {name: set(vars(module)) for name, module in model.named_modules()} == before


def test_log_sigma_stays_within_its_bound_and_keeps_a_gradient():
    head = AxisAlignedGaussian(1, (4,), 2, 1, log_sigma_bound=2.0)
    with torch.no_grad():
        head.conv_layer.weight.zero_()
        head.conv_layer.bias.copy_(torch.tensor([0.0, 0.0, 1e4, -1e4]))
    sigma = head(torch.rand(1, 1, 4, 4)).stddev
    torch.testing.assert_close(sigma[0].detach(), torch.tensor([math.exp(2), math.exp(-2)]), rtol=1e-3, atol=0)
    sigma.sum().backward()
    assert (head.conv_layer.bias.grad[2:] > 0).all()
    near_zero = AxisAlignedGaussian(1, (4,), 2, 1, log_sigma_bound=5.0)
    free = AxisAlignedGaussian(1, (4,), 2, 1, log_sigma_bound=None)
    free.load_state_dict(near_zero.state_dict())
    image = torch.rand(1, 1, 4, 4)
    raw, bounded = free(image).stddev.log(), near_zero(image).stddev.log()
    torch.testing.assert_close(bounded, raw / (1 + raw.abs() / 5), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("ignore_index", [None, 255])
def test_elbo_is_pixel_summed_cross_entropy_and_kl(num_classes, ignore_index):
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, num_classes, **SMALL)
    images, noise = torch.rand(2, 1, 7, 9), torch.randn(2, 3)
    labels = torch.randint(0, max(2, num_classes), (2, 7, 9))
    counted = torch.ones(2, 7, 9, dtype=torch.bool)
    if ignore_index is not None:
        counted = torch.rand(2, 7, 9) > 0.3
        labels = labels.masked_fill(~counted, ignore_index)
    result = model.elbo(images, labels, noise=noise, ignore_index=ignore_index)

    known = labels.masked_fill(~counted, 0)
    planes = F.one_hot(known, num_classes).movedim(-1, 1).float() if num_classes > 1 else known[:, None].float()
    if num_classes > 1:
        planes = planes * counted[:, None]
    posterior = model.posterior(torch.cat((images, planes - 0.5), 1))
    z = posterior.mean + posterior.stddev * noise
    logits = model.fcomb(model.unet(images), z)
    total = 0.0
    for b, y, x in counted.nonzero().tolist():
        scores = logits[b, :, y, x].double()
        if num_classes == 1:
            scores = torch.cat((torch.zeros(1), scores))
        total -= float(scores.log_softmax(0)[labels[b, y, x]].detach())
    assert float(result.reconstruction.detach().sum()) == pytest.approx(total, rel=1e-5)
    prior = model.prior(images)
    kl = kl_divergence(
        Independent(Normal(posterior.mean, posterior.stddev), 1), Independent(Normal(prior.mean, prior.stddev), 1)
    ).mean()
    assert float(result.kl.detach().sum(-1).mean()) == pytest.approx(float(kl), rel=1e-5)


def test_elbo_reaches_every_parameter():
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 1, **SMALL)
    elbo = model.elbo(torch.rand(2, 1, 16, 16), torch.randint(0, 2, (2, 16, 16)))
    (elbo.reconstruction.mean() + elbo.kl.sum(-1).mean()).backward()
    assert not [name for name, parameter in model.named_parameters() if not parameter.grad.abs().sum() > 0]


def test_gaussian_heads_are_float32_under_mixed_precision():
    model = ProbabilisticUNet(1, 1, **SMALL)
    with torch.autocast("cpu", torch.bfloat16):
        features, prior = model.unet(torch.rand(1, 1, 8, 8)), model.prior(torch.rand(1, 1, 8, 8))
    assert features.dtype == torch.bfloat16
    assert prior.mean.dtype == prior.stddev.dtype == torch.float32


@pytest.mark.parametrize(("classes", "label"), [(1, 2), (1, 255), (3, 3), (3, -1)])
def test_labels_out_of_range_are_refused(classes, label):
    model = ProbabilisticUNet(1, classes, **SMALL)
    with pytest.raises(ValueError, match=f"labels: got .*{label}.*, expected 0 .. {max(2, classes) - 1}"):
        model.elbo(torch.rand(1, 1, 4, 4), torch.full((1, 4, 4), label))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (dict(in_channels=0), "in_channels"),
        (dict(num_classes=0), "num_classes"),
        (dict(num_classes=257), "num_classes"),
        (dict(channels=()), "channels"),
        (dict(channels=(8, -1)), "channels"),
        (dict(channels=(8.5,)), "channels"),
        (dict(channels=5), "channels"),
        (dict(latent_dim=0), "latent_dim"),
        (dict(convs_per_block=0), "convs_per_block"),
        (dict(fcomb_layers=1), "fcomb_layers"),
        (dict(posterior_input="onehot"), "posterior_input"),
        (dict(log_sigma_bound=0), "log_sigma_bound"),
        (dict(channels=(4, 4), kernel_sizes=[[3, 3]]), "kernel_sizes"),
        (dict(channels=(4, 4), kernel_sizes=[[3, 3], [2, 3]]), "kernel_sizes"),
        (dict(channels=(4, 4), kernel_sizes=[[3, 3], [3, 3, 3]]), "kernel_sizes"),
        (dict(channels=(4, 4), kernel_sizes=3), "kernel_sizes"),
        (dict(channels=(4, 4), pool_sizes=[[1, 0]]), "pool_sizes"),
        (dict(channels=(4, 4), pool_sizes=[[1, 2], [1, 2]]), "pool_sizes"),
        (dict(channels=(4, 4), pool_sizes=[[1.0, 2]]), "pool_sizes"),
    ],
)
def test_impossible_architectures_are_refused(arguments, name):
    with pytest.raises(ValueError, match=f"^{name}: got"):
        ProbabilisticUNet(**arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_volume_of_one_slice_is_pooled_like_an_image(dtype):
    image = torch.rand(2, 1, 5, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    of_images, of_volumes = (conv_block(1, 1, 1, (3,) * dims, (2,) * dims)[0] for dims in (2, 3))
    pooled = of_volumes(image[:, :, None])
    assert pooled.dtype == dtype
    torch.testing.assert_close(pooled[:, :, 0], of_images(image.float()).to(dtype))


def test_kernels_and_pooling_may_leave_thick_slices_alone():
    """With kernels 1 x 3 x 3 and pooling 1 x 2 x 2 throughout, no slice's features depend on another slice."""
    torch.manual_seed(0)
    shape = dict(kernel_sizes=[[1, 3, 3], [1, 3, 3]], pool_sizes=[[1, 2, 2]])
    model = ProbabilisticUNet(1, 1, channels=(4, 6), latent_dim=3, convs_per_block=1, dims=3, latent_maps=1, **shape)
    volume = torch.rand(1, 1, 5, 9, 7)
    with torch.no_grad():
        whole, alone = model.features(volume), model.features(volume[:, :, 2:3])
    assert model.grid_of((5, 9, 7)) == (5, 5, 4)
    assert model.prior(volume).mean.shape == (1, 3 + 5 * 5 * 4)
    torch.testing.assert_close(whole[:, :, 2:3], alone)
    assert torch.isfinite(sample(model, volume, n=2, seed=0, output="logits")).all()
    isotropic = ProbabilisticUNet(1, 1, channels=(4, 6), latent_dim=3, convs_per_block=1, dims=3)
    with torch.no_grad():
        differs = isotropic.features(volume)[:, :, 2:3] - isotropic.features(volume[:, :, 2:3])
    assert differs.abs().max() > 1e-3


def test_named_kernels_and_pooling_as_published_change_nothing():
    torch.manual_seed(0)
    published = ProbabilisticUNet(1, 1, channels=(4, 6, 8), latent_dim=3, convs_per_block=1)
    named = ProbabilisticUNet(
        1, 1, (4, 6, 8), 3, convs_per_block=1, kernel_sizes=[[3, 3]] * 3, pool_sizes=[[2, 2], [2, 2]]
    )
    named.load_state_dict(published.state_dict())
    image = torch.rand(1, 1, 11, 6)
    assert torch.equal(
        sample(named, image, 3, seed=0, output="logits"), sample(published, image, 3, seed=0, output="logits")
    )


@pytest.mark.parametrize("form", ["file", "state dict"])
def test_a_checkpoint_keeps_kernels_and_pooling(tmp_path, form):
    model = ProbabilisticUNet(
        1, 1, (4, 6), 3, convs_per_block=1, dims=3, kernel_sizes=[[1, 3, 3], [3, 3, 3]], pool_sizes=[[1, 2, 2]]
    ).eval()
    if form == "file":
        fastpunet.save(model, tmp_path / "model.safetensors")
        again = fastpunet.load(tmp_path / "model.safetensors")
    else:
        torch.save(model.state_dict(), tmp_path / "model.pt")
        again = fastpunet.load(tmp_path / "model.pt")
    assert (again.config["kernel_sizes"], again.config["pool_sizes"]) == ([[1, 3, 3], [3, 3, 3]], [[1, 2, 2]])
    volume = torch.rand(1, 1, 4, 8, 8)
    assert torch.equal(
        sample(again, volume, 2, seed=0, output="bits").words, sample(model, volume, 2, seed=0, output="bits").words
    )


def test_volumes_may_be_thinner_than_the_u_net_is_deep():
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 1, channels=(4, 6, 8), latent_dim=3, convs_per_block=1, dims=3)
    assert torch.isfinite(sample(model, torch.rand(1, 1, 2, 1, 9), n=2, seed=0, output="logits")).all()
