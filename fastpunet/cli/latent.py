"""fastpunet latent."""

from __future__ import annotations

from fastpunet.cli.running import add_data, add_device, add_intensity, add_model
from fastpunet.parsing import Namespace, Parser

SUMMARY = "draw a map of an image's latent space, with what the model outlines at each place"


def parser() -> Parser:
    options = Parser(
        "fastpunet latent",
        "Draw what a model outlines at each place of a grid over two latent axes of an image, with the contours of the "
        "prior at 1, 2 and 3 sigma, and the posterior of each grader's segmentation. How to read the picture: "
        "docs/latent.md.",
    )
    add_model(options)
    options.add_argument("--output", required=True, metavar="FILE", help="picture to write: .png, .pdf or .svg")
    add_data(options, "; without it, synthetic lesions")
    add_intensity(options)
    options.add_argument(
        "--class-flips", action="store_true", help="for camvid or cityscapes: flip five classes at random"
    )
    options.add_argument(
        "--image", type=int, default=0, metavar="I", help="number of the image in the data, counted from 0"
    )
    options.add_argument(
        "--axes",
        type=int,
        nargs=2,
        metavar=("A", "B"),
        help="two latent dimensions, counted from 0; without them, the two axes along which segmentations change most",
    )
    options.add_argument("--size", type=int, default=9, help="number of grid positions along each axis")
    options.add_argument(
        "--span",
        type=float,
        default=3.0,
        help="how far the grid reaches from the prior's mean, in standard deviations of the prior",
    )
    options.add_argument("--seed", type=int, default=0, help="random seed of the draws that find the axes")
    add_device(options)
    return options


def run(options: Namespace) -> None:
    from fastpunet.reports.latent import draw_latent_space

    print(
        draw_latent_space(
            options.model,
            options.output,
            data=options.data,
            kind=options.kind,
            class_flips=options.class_flips,
            image=options.image,
            axes="principal" if options.axes is None else options.axes,
            size=options.size,
            span=options.span,
            seed=options.seed,
            device=options.device,
            intensity=options.intensity,
        )
    )
