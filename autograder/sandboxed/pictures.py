"""What of a cell's outputs is a picture, and what of it may reach a browser: one definition for the grader and for `pack`.

PNG and JPEG are shown, SVG when it is cleaned of all but drawing, pictures inside HTML when they can be taken out of it.
What draws in another way (a script, a PDF) is a picture that is not shown: `UNSEEN`, a line of text in its place.
"""

import base64
import io
import re
from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree

Shown = tuple[str, str]  # a type, and text or a picture in base64
UNSEEN = "picture/unseen"
SHOWN = ("image/png", "image/jpeg", "image/svg+xml", UNSEEN, "text/plain")
VECTOR = "image/svg+xml"
MAX_PICTURE_BYTES, LEAST_PICTURE_BYTES = 4 * 2**20, 12 * 2**10  # a picture; less than the latter tells nobody anything
MAX_PIXELS = 40_000_000
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
SIDES = (1600, 1100, 800, 560, 400, 280, 200)

OLD_FORMAT = {"png": "image/png", "jpeg": "image/jpeg", "svg": VECTOR, "html": "text/html", "pdf": "application/pdf"}
DRAWN_ELSEWHERE = re.compile(r"application/(pdf|vnd\.(plotly|vega|bokeh|holoviews))|(video|image)/")
DRAWN_IN_HTML = re.compile(r"<(img|svg|canvas|video|iframe|object|embed)\b|plotly|bokeh|vega|echarts", re.I)
DRAWN_BY_WIDGETS = re.compile(r"(Canvas|FigureWidget|Figure)\(")  # of ipympl, plotly, bqplot; a progress bar is none
IN_HTML = re.compile(
    r"<img\b[^>]{0,2000}?\bsrc\s*=\s*[\"']?\s*data:(image/[\w.+-]+);base64,([A-Za-z0-9+/=\s]+)|(<svg\b.*?</svg>)",
    re.I | re.S,
)
IN_TEXT = re.compile(r"data:(image/[\w.+-]+);base64,([A-Za-z0-9+/=]+)")
BASE64 = re.compile(r"[A-Za-z0-9+/]+=*")


def is_picture(kind: str) -> bool:
    return kind == UNSEEN or kind.startswith("image/")


def unseen(why: str) -> Shown:
    return UNSEEN, f"(a picture that is not shown here, {why}: open the submitted notebook)"


def look(output: dict[str, Any]) -> list[Shown]:
    """What is to be shown of an output: its picture or pictures, else its text."""
    data = output["data"] if isinstance(output.get("data"), dict) else {}
    data = data or {kind: output[name] for name, kind in OLD_FORMAT.items() if name in output}
    texts = {str(kind): _joined(content) for kind, content in data.items()}
    plain = texts.get("text/plain") or _joined(output.get("text", "")) or _joined(output.get("traceback", ""), "\n")
    for kind in ("image/png", "image/jpeg", VECTOR, *(kind for kind in texts if kind.startswith("image/"))):
        if texts.get(kind):
            return [_picture(kind, texts[kind])]
    html = texts.get("text/html", "")
    found = [_picture(kind, content) if kind else _picture(VECTOR, svg) for kind, content, svg in IN_HTML.findall(html)]
    if found:
        return found
    other = next((kind for kind in data if DRAWN_ELSEWHERE.match(str(kind))), "")
    widget = any("jupyter.widget" in str(kind) for kind in data) and DRAWN_BY_WIDGETS.match(plain)
    if other or widget or DRAWN_IN_HTML.search(html):
        return [unseen(f"as {str(other)[:60] or ('a widget' if widget else 'HTML')}")]
    return [("text/plain", plain)] if plain else []


def take_out(text: str) -> tuple[str, list[Shown]]:
    """Markdown without the pictures that are written into it, as Colab does, and these."""
    found = [_picture(kind.lower(), content) for kind, content in IN_TEXT.findall(text)]
    return IN_TEXT.sub("picture", text), found


def _joined(content: Any, glue: str = "") -> str:
    lines = content if isinstance(content, list) else [content]
    return glue.join(line for line in lines if isinstance(line, str))


def _picture(kind: str, content: str) -> Shown:
    if kind == VECTOR:
        return _vector(content)
    content = "".join(content.split())
    return (kind, content) if BASE64.fullmatch(content) else unseen("since it is damaged")


# --- SVG --------------------------------------------------------------------------------------------------------------

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
SHAPES = "svg g defs symbol use path rect circle ellipse line polyline polygon text tspan textPath image clipPath pattern"
DRAWING = {*SHAPES.split(), "linearGradient", "radialGradient", "stop", "style"}
REACHES_OUT = re.compile(r"url\(\s*['\"]?(?!#)|@|\\|expression|javascript:", re.I)
WITHIN = re.compile(r"#|data:image/(png|jpeg);base64,")


def _vector(text: str) -> Shown:
    try:
        text = text if "<" in text else base64.b64decode(text).decode()
        if "<!ENTITY" in text:
            return unseen("since its SVG holds more than a drawing")
        root = _drawing(ElementTree.fromstring(text))
        if root is None or root.tag != "svg":
            return unseen("since it is damaged")
        _drop_nested_uses(root)
        root.set("xmlns", SVG)
        root.set("xmlns:xlink", XLINK)
        return VECTOR, base64.b64encode(ElementTree.tostring(root)).decode()
    except (ElementTree.ParseError, ValueError, RecursionError):
        return unseen("since it is damaged")


def _drawing(theirs: ElementTree.Element) -> ElementTree.Element | None:
    """A copy that has only what draws: no script, link or event, nothing from another file."""
    name = _name(theirs.tag)
    if name not in DRAWING or (name == "style" and REACHES_OUT.search(theirs.text or "")):
        return None
    made = ElementTree.Element(name)
    made.text, made.tail = theirs.text, theirs.tail
    for key, value in theirs.attrib.items():
        if key in ("href", f"{{{XLINK}}}href"):
            if WITHIN.match(value):
                made.set("xlink:href", value)
        elif re.fullmatch(r"[A-Za-z][\w.-]*", key) and key[:2].lower() != "on" and not REACHES_OUT.search(value):
            made.set(key, value)
    made.extend([child for each in theirs if (child := _drawing(each)) is not None])
    return made


def _name(tag: Any) -> str:
    space, _, name = tag[1:].partition("}") if isinstance(tag, str) and tag.startswith("{") else (SVG, "", tag)
    return name if space == SVG and isinstance(name, str) else ""


def _drop_nested_uses(root: ElementTree.Element) -> None:
    """Drops copies of what holds copies itself: ten levels of ten would draw without end."""
    holders = {element.get("id") for element in root.iter() if element.find(".//use") is not None or element.tag == "use"}
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag == "use"]:
            if child.get("xlink:href", "#")[1:] in holders:
                parent.remove(child)


# --- the budget -------------------------------------------------------------------------------------------------------


def fit(pictures: list[Shown], first: Iterable[int], size: int) -> list[Shown]:
    """The pictures in at most `size` bytes or nearly: drawings as they are, the others shrunk, the largest ones most.

    Args:
        first: the places of those that go before the others where not even small ones have room.
    """
    made, left = list(pictures), size
    vectors = [place for place, (kind, _) in enumerate(made) if kind == VECTOR]
    for place in vectors:
        if len(made[place][1]) > min(MAX_PICTURE_BYTES, left - size // 2):
            made[place] = unseen("since it is too large")
        left -= len(made[place][1])
    ahead = set(first)
    others = [place for place, (kind, _) in enumerate(made) if kind != VECTOR and kind.startswith("image/")]
    chosen = sorted(others, key=lambda place: place not in ahead)[: max(left, 0) // LEAST_PICTURE_BYTES]
    most = min(MAX_PICTURE_BYTES, _level([len(made[place][1]) for place in chosen], left))
    for place in others:
        if place not in chosen:
            made[place] = unseen("since there are too many")
        elif made[place][0] not in SHOWN or len(made[place][1]) > most:
            made[place] = _shrunk(made[place][1], most)
    return made


def _level(sizes: list[int], left: int) -> int:
    """How large each may be so that all have room: the small ones leave theirs to the others."""
    for count, size in zip(range(len(sizes), 0, -1), sorted(sizes), strict=True):
        if size * count > left:
            return left // count
        left -= size
    return MAX_PICTURE_BYTES


def _shrunk(content: str, most: int) -> Shown:
    """The picture in at most `most` bytes, smaller and as JPEG where it must be."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(base64.b64decode(content)), formats=FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                return unseen("since it is too large")
            opened.draft("RGB", (SIDES[0], SIDES[0]))
            drawn = opened.convert("RGBA")
        picture = Image.new("RGB", drawn.size, "white")
        picture.paste(drawn, mask=drawn)
        for side in SIDES:
            picture.thumbnail((side, side))
            out = io.BytesIO()
            picture.save(out, "JPEG", quality=85)
            small = base64.b64encode(out.getvalue()).decode()
            if len(small) <= most:
                return "image/jpeg", small
    except Exception:  # whatever Pillow stumbles over: it is a stranger's picture
        return unseen("since it is damaged")
    return unseen("since it is too large")
