"""An SVG of matplotlib made fit to stand in a page: it takes the page's colours and fonts, and styles nothing else."""

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from markupsafe import Markup

_NAMESPACE = re.compile(r"^\{.*\}")
_DROPPED = ("metadata", "style")  # the second would rule the whole page
_REFERENCE = re.compile(r"(?<=#)\w+(?=\)?$)")
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_FAMILY = re.compile(r"font-family:[^;]*;\s*")
_NUMBER = re.compile(r"-?\d+\.\d{2,}")  # a tenth of a unit is a seventh of a pixel
_GEOMETRY = ("d", "x", "y", "transform")


def inlined(svg: bytes, *, label: str, stand_ins: Mapping[str, str], prefix: str, titles: Mapping[str, str]) -> Markup:
    """The SVG without namespaces, metadata, style sheet and fonts, told by `label` to who cannot see it.

    Each colour of `stand_ins` becomes its value. `titles` are shown where the mouse rests on what has the id.
    `prefix-` begins the ids that something refers to; the others are gone.
    """
    root = ET.fromstring(svg)  # noqa: S314 - of our own making
    used = {found[0] for one in root.iter() for value in one.attrib.values() if (found := _REFERENCE.search(value))}
    _clean(root, titles, used)
    for element in root.iter():
        for name, value in dict(element.attrib).items():
            del element.attrib[name]
            if name != "id" or value in used:
                element.set(_NAMESPACE.sub("", name), _attribute(name, value, stand_ins, prefix))
    for name in ("version", "width", "height"):  # the page sizes it, and the viewBox keeps its shape
        root.attrib.pop(name, None)
    root.attrib.update({"role": "img", "aria-label": label, "stroke-linejoin": "round"})
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704 - ElementTree has escaped it


def _clean(parent: ET.Element, titles: Mapping[str, str], used: set[str]) -> None:
    """Tags without namespace, no white space between them, and nothing that shows nothing."""
    parent.tag = _NAMESPACE.sub("", parent.tag)
    if parent.tag != "text":
        parent.text = None
    for child in list(parent):
        _clean(child, titles, used)
        child.tail = None
        empty = child.tag in {"g", "defs"} and not len(child)
        if empty or child.tag in _DROPPED:
            parent.remove(child)
    if (title := titles.get(parent.get("id", ""))) is not None and len(parent):
        said = ET.Element("title")
        said.text = title
        parent.insert(0, said)


def _attribute(name: str, value: str, stand_ins: Mapping[str, str], prefix: str) -> str:
    if name == "style":
        return _COLOUR.sub(lambda found: stand_ins[found[0]], _FAMILY.sub("", value))
    if name in _GEOMETRY:
        return " ".join(_NUMBER.sub(lambda found: f"{float(found[0]):.1f}", value).split())
    return prefix + "-" + value if name == "id" else _REFERENCE.sub(lambda found: f"{prefix}-{found[0]}", value)
