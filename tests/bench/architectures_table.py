"""The survey of architectures as a page of Markdown: docs/architectures.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Sequence

Record = Dict[str, Any]

_RIGHT = ("exact", "float64")
_WORDS = {"float64": "exact by float64"}
_MEGA = 1e6
# The escapes by which programs colour what they print, and the most characters of a reason.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
MOST = 240
# The page's beginning, with a place for the versions.
_HEAD = Path(__file__).with_name("architectures_head.md")


def page(records: Sequence[Record]) -> str:
    """The whole page."""
    lines = [_HEAD.read_text(encoding="utf-8").format(versions=_versions(records)), *_summary(records)]
    for library in dict.fromkeys(record["library"] for record in records):
        among = [record for record in records if record["library"] == library]
        lines += ["", f"## {library}", "", *_table(among)]
    return "\n".join([*lines, *_reasons(records)]) + "\n"


def _versions(records: Sequence[Record]) -> str:
    pairs = {
        f"{name} {version.split('+')[0]}"
        for record in records
        for name, version in record["versions"].items()
    }
    return ", ".join(sorted(pairs))


def _summary(records: Sequence[Record]) -> List[str]:
    lines = [
        "| library | networks | families | exact | exact by float64 | other |",
        "|---|---|---|---|---|---|",
    ]
    for library in (*dict.fromkeys(record["library"] for record in records), "all"):
        among = [record for record in records if library in (record["library"], "all")]
        exact, by_float64 = (sum(record["result"] == word for record in among) for word in _RIGHT)
        families = len({(record["library"], record["family"]) for record in among})
        rest = len(among) - exact - by_float64
        cells = [library, len(among), families, exact, by_float64, rest]
        lines.append(_row(cells))
    share = sum(record["result"] in _RIGHT for record in records) / max(len(records), 1)
    return [*lines, "", f"{100 * share:.1f} % of all networks are exact, or exact by float64."]


def _table(records: Sequence[Record]) -> List[str]:
    names = ["family", "network", "size", "result", "outputs", "1 − cosine", "second size"]
    names += ["seconds", "MB", "Grad-CAM", "style"]
    return [_row(names), "|---" * len(names) + "|", *(_row(_cells(record)) for record in records)]


def _cells(record: Record) -> List[Any]:
    options = "".join(
        f" {key}={value}" for key, value in record["options"].items() if value not in _sizes(record)
    )
    shown = [record["family"], record["name"] + options, "×".join(map(str, record["size"]))]
    shown.append(_WORDS.get(record["result"], record["result"]))
    if "logits" not in record:
        return [*shown, *[""] * 7]
    second = record["second"]
    style = record["style"]
    return [
        *shown,
        " ".join(f"{error:.0e}" for error in record["logits"]),
        f"{max(1 - record['cosine'], 0):.0e}",
        f"{second:.0e}" if isinstance(second, float) else second,
        f"{record['seconds']:.1f}",
        f"{record['peak'] / _MEGA:.0f}",
        "no" if _failed(record["grad_cam"]) else "yes",
        "no" if isinstance(style, str) else style,
    ]


def _sizes(record: Record) -> List[Any]:
    return [record["size"][0], record["size"]]


def _failed(found: Any) -> bool:
    return ": " in str(found)


def _reasons(records: Sequence[Record]) -> List[str]:
    """What is said of each network that is not exact, or of which a part is not found or refused."""
    lines: List[str] = []
    for record in records:
        said = [_COLOUR.sub("", record["reason"])[:MOST]] if "reason" in record else []
        if "second_reason" in record:
            layer = record["second_reason"].split("and layer ")[-1].split(", the size of")[0]
            said.append(f"at the second size: layer {layer}")
        parts = [record.get(part, "") for part in ("grad_cam", "style")]
        said += [text for text in parts if _failed(text)]
        lines += [f"- **{record['name']}** ({record['library']}): {text}" for text in said]
    return ["", "## Reasons", "", *lines] if lines else []


def _row(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
