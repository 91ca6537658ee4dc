"""The index of a folder of pages: a picture and a few numbers of each, to be sorted and searched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastpunet.files import write_text
from fastpunet.hypotheses.display import percent
from fastpunet.prediction.opening import Outcome
from fastpunet.reports.page.document import page_style, script_hash, template, text_of
from fastpunet.reports.page.entry import Entry
from fastpunet.reports.page.existing import ENTRY_META, META, read_meta
from fastpunet.reports.page.image_scores import ImageScores
from fastpunet.reports.page.making import name_of_model
from fastpunet.scoring.registry import SCORES

INDEX = "index.html"
_META = "fastpunet-gallery"  # the name of the element that tells an index from other files


@dataclass(frozen=True)
class _Key:
    """Something to sort by.

    name   in the document
    label  for people
    value  of an entry: the larger, the earlier; None: undefined, and so last
    """

    name: str
    label: str
    value: Callable[[Entry], float | None]


_KEYS = (
    _Key("ambiguity", "most ambiguous", lambda entry: entry.ambiguity),
    _Key("undecided", "presence nearest to one half", lambda entry: -abs(entry.presence - 0.5)),
    _Key("spread", "widest spread of the size", lambda entry: entry.spread),
    _Key("disagreement", "furthest from the annotations", lambda entry: entry.disagreement),
    _Key("unusual", "unusual images", lambda entry: float(entry.level == "unusual")),
)


def check_index(folder: Path) -> None:
    """Raise ValueError if the index of a folder would take the place of somebody else's file."""
    index = folder / INDEX
    if index.exists() and read_meta(index, _META) is None:
        raise ValueError(f"output: {index} exists, but is not an index of fastpunet report; name another folder")


def write_index(
    folder: Path, failed: Sequence[Outcome], scores: ImageScores | None = None, scored: Sequence[str] = ()
) -> Path:
    """Write the index of all pages in a folder that exists, and return its path. Raises OSError.

    failed: the images of the last run that have no page. scores: of the images of the pages whose files are `scored`,
    the worst of which come first; without scores, the most ambiguous images do.
    """
    cards, models = [], set()
    known = set(scored)
    for path, entry, model in _pages(folder):
        own = dict(scores.values.get(entry.id, {})) if scores is not None and path.name in known else {}
        cards.append(_card(path, entry, own, scores))
        models.add(model)
    worst = [] if scores is None else [(f"score-{name}", f"worst {title}") for name, title in scores.titles.items()]
    keys = [(key.name, key.label) for key in _KEYS if any(card["values"][key.name] is not None for card in cards)]
    orders = {"scores": worst, "images": [*keys, ("name", "name")]}
    cards.sort(key=lambda card: _rank(card, (worst + keys or [("name", "name")])[0][0]))
    script = text_of("gallery.js")
    html = template("gallery.html.jinja").render(
        meta=_META,
        made=json.dumps({"version": metadata.version("fastpunet")}),
        cards=cards,
        failed=failed,
        models=sorted(models),
        orders=orders,
        style=page_style() + text_of("gallery.css"),
        script=script,
        script_hash=script_hash(script),
    )
    write_text(folder / INDEX, html)
    return folder / INDEX


def _pages(folder: Path) -> Iterator[tuple[Path, Entry, str]]:
    """The pages in a folder, each with its entry and the name of its model. Other files are passed over."""
    for path in sorted(folder.glob("*.html")):
        content, request = read_meta(path, ENTRY_META), read_meta(path, META)
        if content is None or request is None:
            continue
        try:
            entry = Entry.from_dict(content)
        except ValueError:
            continue
        model = request.get("model")
        yield path, entry, name_of_model(str(model.get("source", ""))) if isinstance(model, Mapping) else ""


def _rank(card: Mapping[str, Any], key: str) -> tuple[bool, float, str]:
    value = card["values"].get(key)
    return value is None, 0.0 if value is None else -value, card["entry"].title


def _card(path: Path, entry: Entry, scores: Mapping[str, float], all_scores: ImageScores | None) -> dict[str, Any]:
    facts = [("anything there", percent(entry.presence)), ("ambiguity", f"{entry.ambiguity:.2f}")]
    if entry.spread is not None:
        facts.append(("spread of the size", percent(entry.spread)))
    if entry.disagreement is not None:
        facts.append(("distance to annotations", f"{entry.disagreement:.2f}"))
    titles = {} if all_scores is None else all_scores.titles
    own = [(titles[name], f"{scores[name]:.{SCORES[name].digits}f}") for name in titles if name in scores]
    values = {key.name: key.value(entry) for key in _KEYS}
    values |= {f"score-{name}": -SCORES[name].better * value for name, value in scores.items()}
    return {"entry": entry, "link": quote(path.name), "facts": own[:1] + facts, "scores": own[1:], "values": values}
