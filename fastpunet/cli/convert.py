"""fastpunet convert."""

from __future__ import annotations

from fastpunet.parsing import Namespace, Parser

SUMMARY = "turn weights of other code into a checkpoint, or a model into ONNX or torch.export programs"


def parser() -> Parser:
    options = Parser(
        "fastpunet convert",
        "Read weights in any form that fastpunet knows (files of PyTorch, Lightning and safetensors, checkpoints of "
        "the authors' TensorFlow release, repositories of the Hugging Face hub), say what was found, and write them "
        "in another form. What was written is loaded again, and both must draw the same. No code in the files is run. "
        "The ending of OUT decides what is written: m.onnx gives m.encode.onnx and m.decode.onnx, m.pt2 the same two "
        "as programs of torch.export, and any other ending one safetensors file that holds the architecture too. See "
        "docs/checkpoints.md and docs/leaving.md.",
    )
    options.add_argument(
        "source",
        metavar="IN",
        help="a file, a folder, shipped weights, or a repository OWNER/NAME or OWNER/NAME@REVISION of the Hugging "
        "Face hub",
    )
    options.add_argument("output", metavar="OUT", help="what to write: m.safetensors, m.onnx or m.pt2")
    options.add_argument("--part", metavar="NAME", help="which network to read from a file with several, such as ema")
    options.add_argument(
        "--posterior-input",
        metavar="FORM",
        help="for weights of the PyTorch port: how a segmentation enters its posterior net: one-hot (one-hot minus "
        "0.5), plain-one-hot or mask (the labels as one channel)",
    )
    options.add_argument(
        "--state-dict",
        action="store_true",
        help="write a state dict for the PyTorch port; an error if the port has no such network",
    )
    return options


def run(options: Namespace) -> None:
    from pathlib import Path

    from fastpunet.reports.converting import convert
    from fastpunet.reports.outputs import check_writable

    check_writable("OUT", Path(options.output))
    told = {"part": options.part, "posterior_input": options.posterior_input}
    converted = convert(options.source, options.output, **told, for_port=options.state_dict)
    print(converted.report, *converted.paths, sep="\n")
