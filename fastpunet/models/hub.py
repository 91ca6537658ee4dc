"""Models in folders and repositories as the Hugging Face hub has them: weights, architecture and a model card."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from fastpunet.files import write_text
from fastpunet.optional import require

Model = TypeVar("Model", bound="HubModel")

CONFIG_FILE, CARD_FILE = "config.json", "README.md"
OWN_CARD = "<!-- Written by fastpunet, and again at every save. Delete this line to keep a text of your own. -->"


class HubModel:
    """The three methods of huggingface_hub's `ModelHubMixin`, on the one format of `fastpunet.save` and `load`.

    huggingface_hub itself is loaded when something goes to a repository or comes from one, and no sooner.
    """

    @classmethod
    def from_pretrained(cls: type[Model], source: str | os.PathLike[str], *, revision: str | None = None) -> Model:
        """`fastpunet.load` of a folder, or of OWNER/NAME of the hub, at a branch, tag or commit if one is given.

        Raises the errors of `load`, ValueError for a revision of anything but OWNER/NAME, and TypeError for a model of
        another class than this one.
        """
        from fastpunet.models import checkpoint

        if revision is not None and (Path(source).exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", str(source))):
            raise ValueError(
                f"revision: got {revision!r} with source {str(source)!r}, expected None, or OWNER/NAME of the hub as "
                "source, because nothing else has revisions"
            )
        model: Any = checkpoint.load(source if revision is None else f"{source}@{revision}")
        if not isinstance(model, cls):
            raise TypeError(
                f"source: {str(source)!r} holds the method {model.name}, expected {cls.__name__}; use fastpunet.load"
            )
        return model

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        config: None = None,
        model_card_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        """Write model.safetensors, config.json and a model card README.md to a folder, which is made if need be.

        `load` reads the folder. The card says what `model_card` says. A README.md without the line that
        marks it as written here stays as it is. config.json repeats, for the hub, what model.safetensors says.

        config             None: a model's architecture is its own
        model_card_kwargs  arguments of `model_card` that the model does not know, such as {"license": "mit"}
        """
        from fastpunet.models import checkpoint
        from fastpunet.models.card import model_card

        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        card = folder / CARD_FILE
        model: Any = self
        text = model_card(model, **(model_card_kwargs or {}))
        checkpoint.save(model, folder / checkpoint.WEIGHTS_FILE)
        about = {"library_name": "fastpunet", "method": type(model).__name__, "config": model.config}
        write_text(folder / CONFIG_FILE, json.dumps(about, indent=2) + "\n")
        if not card.exists() or OWN_CARD.encode() in card.read_bytes():
            write_text(card, text)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload what `save_pretrained` writes to a repository of the hub, and return the address of the commit.

        The options are those of `huggingface_hub.ModelHubMixin.push_to_hub`, which does it: commit_message, private,
        token, branch, create_pr, model_card_kwargs and more.
        """
        hub = require("huggingface_hub", "pushing to the hub", "hub")
        address: str = hub.ModelHubMixin.push_to_hub(self, repo_id, **options)
        return address
