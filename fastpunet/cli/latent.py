"""fastpunet latent."""

from __future__ import annotations

from fastpunet.cli.running import add_device, add_intensity
from fastpunet.parsing import Namespace, Parser

SUMMARY = "draw a map of an image's latent space, with what the model outlines at each place"


def parser() -> Parser:
    options = Parser(
        "fastpunet latent",
        "Draw what a model outlines at each place of a grid over two latent axes of an image, with the contours of the "
        "prior at 1, 2 and 3 sigma, and the posterior of each grader's segmentation. How to read the picture: "
        "docs/latent.md.",
    )
    options.add_argument(
        "model",
        metavar="MODEL",
        help="shipped weights (lesions, lidc-tiny), a checkpoint or the folder of a training run",
    )
    options.add_argument("--output", required=True, metavar="FILE", help="picture to write: .png, .pdf or .svg")
    options.add_argument("--data", metavar="PATH", help="data set; without it, synthetic lesions")
    options.add_argument("--kind", help="lidc, camvid, cityscapes or folder; without it, recognised")
    add_intensity(options)
    options.add_argument(
        "--class-flips", action="store_true", help="for camvid or cityscapes: with five classes flipped at random"
    )
    options.add_argument("--image", type=int, default=0, metavar="I", help="place in the data, counted from 0")
    options.add_argument(
        "--axes",
        type=int,
        nargs=2,
        metavar=("A", "B"),
        help="two latent dimensions, counted from 0; without them, the two axes along which segmentations change most",
    )
    options.add_argument("--size", type=int, default=9, help="positions of the grid along each axis")
    options.add_argument(
        "--span", type=float, default=3.0, help="how far the grid reaches from the prior's mean, in sigma of the prior"
    )
    options.add_argument("--seed", type=int, default=0, help="seed of the draws that find the axes")
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
