"""Reads the style attributes and style sheets of a mail, as far as they decide how a text is displayed.

Invariant: rules for other devices (`@media` with a condition) and for states (`:hover`, `[attribute]`) are
ignored. A selector of a single element, its classes and id is evaluated; a longer one is only known to
possibly match.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from collectors.email.message import BadMessageError

Style = dict[str, str]
"""Values by property, in lower case, without `!important`."""
Declarations = dict[str, tuple[bool, str]]
"""By property: whether it is important, and its value in lower case."""

_PROPERTIES = frozenset(
    [
        "display",
        "visibility",
        "font",
        "font-size",
        "opacity",
        "mso-hide",
        "overflow",
        "height",
        "max-height",
        "width",
        "max-width",
        "text-decoration",
        "text-decoration-line",
        "vertical-align",
        "position",
        "color",
        "text-indent",
    ]
)
_HIDING = re.compile(
    r"display:none|visibility:(?:hidden|collapse)|mso-hide:all|line-through|vertical-align:su"
    r"|opacity:[0.]+(?:%|$|;)|font-size:[0.]+(?:[a-z]|%|$|;)|max-height:0|position:(?:absolute|fixed)|color:transparent|text-indent:-\d{3}"
)
_COMMENTS = re.compile(r"/\*.*?(?:\*/|$)|<!--|-->", re.DOTALL)
_BRACES = re.compile(r"([{}])")
_COMPOUND = re.compile(r"([a-z][a-z0-9]*|\*)?((?:[.#][\w-]+)*)", re.IGNORECASE)
_NAMES = re.compile(r"[.#][\w-]+")
_ALWAYS = re.compile(r"@media\s*(?:only\s+)?(?:all|screen)?\s*", re.IGNORECASE)
_ZERO = re.compile(r"(?=[\d.]*0)[0.]+(?:[a-z]+|%)?")
_NO_COLOR = re.compile(r"(?:rgb|hsl)a?\((?:(?:[^,()]*,){3}|[^/()]*/)\s*0*\.?0+%?\s*\)")
_FAR_LEFT = re.compile(r"-\d{3}")
MAX_RULES = 5_000
_MAX_KNOWN = 10_000
_INLINE = (0, 0, 0, 0)


_Selector = tuple[str, frozenset[str], frozenset[str], bool]
_Ranked = dict[str, tuple[tuple[bool, bool, tuple[int, int, int, int]], str]]


class _Rule(NamedTuple):
    tag: str
    names: frozenset[str]
    around: frozenset[str]
    is_whole: bool
    order: int
    style: Declarations

    @property
    def weight(self) -> tuple[int, int, int, int]:
        ids = sum(name.startswith("#") for name in self.names)
        return ids, len(self.names) - ids, bool(self.tag), self.order


def _wins(later: tuple[bool, str], earlier: tuple[bool, str] | None) -> bool:
    return earlier is None or later[0] >= earlier[0]


def is_zero(value: str) -> bool:
    """Return whether a length or number is 0, in any unit."""
    return bool(_ZERO.fullmatch(value))


def is_doubtful(style: Style) -> bool:
    """Return whether text in this style may be outside the visible area, or transparent."""
    color = style.get("color", "")
    return (
        style.get("position") in ("absolute", "fixed")
        or color == "transparent"
        or bool(_NO_COLOR.fullmatch(color))
        or bool(_FAR_LEFT.match(style.get("text-indent", "")))
    )


def declarations(text: str) -> Declarations:
    """Return the declarations of a style attribute or a rule, for the properties that matter here."""
    found: Declarations = {}
    for item in _COMMENTS.sub(" ", text).lower().split(";"):
        name, _, value = item.partition(":")
        name, value = name.strip(), value.strip()
        bare = value.removesuffix("important").rstrip()
        important = bare != value and bare.endswith("!")
        if important:
            value = bare[:-1].rstrip()
        if value and name in _PROPERTIES and (important or not found.get(name, (False,))[0]):
            found[name] = (important, value)
    return found


class Sheet:
    """The rules of a mail's style sheets that could hide, strike through or raise text."""

    def __init__(self, css: str) -> None:
        self._rules: dict[str, dict[_Selector, _Rule]] = {}
        self._known: dict[tuple[str, tuple[str, ...]], tuple[_Ranked, list[_Rule]]] = {}
        self._count = 0
        skipped: list[bool] = []
        selectors: str | None = None
        pieces = _BRACES.split(_COMMENTS.sub(" ", css))
        for number, (text, sign) in enumerate(zip(pieces[::2], pieces[1::2], strict=False)):
            if sign == "{":
                before = text.rpartition(";")[2].strip()
                if before.startswith("@"):
                    skipped.append(True in skipped[-1:] or not _ALWAYS.fullmatch(before))
                else:
                    selectors = before
            elif selectors is not None:
                if True not in skipped[-1:] and (style := declarations(text)):
                    self._add(selectors, style, number)
                selectors = None
            elif skipped:
                skipped.pop()

    @property
    def is_empty(self) -> bool:
        """Whether no rule matters here."""
        return not self._rules

    def _add(self, selectors: str, style: dict[str, tuple[bool, str]], order: int) -> None:
        hides = any(_HIDING.search(f"{name}:{value}") for name, (_, value) in style.items())
        for selector in selectors.split(","):
            *before, last = selector.replace(">", " > ").split() or [""]
            match = _COMPOUND.fullmatch(last)
            if not match or not last or any(sign in selector for sign in ":[+~"):
                continue
            if before and not hides:
                continue
            tag, names = (match[1] or "").lower().replace("*", ""), frozenset(_NAMES.findall(match[2]))
            around = frozenset(name for each in before for name in _NAMES.findall(each))
            rules = self._rules.setdefault(min(names) if names else tag, {})
            key = (tag, names, around, not before)
            if key in rules:
                style = {
                    **rules[key].style,
                    **{k: v for k, v in style.items() if _wins(v, rules[key].style.get(k))},
                }
            else:
                self._count += 1
                if self._count > MAX_RULES:
                    raise BadMessageError(f"its style sheets have more than {MAX_RULES:,} rules")
            rules[key] = _Rule(*key, order, style)

    def style(
        self, tag: str, names: tuple[str, ...], around: Mapping[str, int], own: Declarations
    ) -> tuple[Style, bool]:
        """Return an element's style, and whether a selector that is not evaluated may hide it.

        `names` are its classes and id, as selectors write them; `around` counts those of the elements around
        it; `own` is its style attribute.
        """
        key = (tag, names)
        if key not in self._known:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[key] = self._matching(tag, names)
        known, perhaps = self._known[key]
        doubt = any(all(around.get(name) for name in rule.around) for rule in perhaps)
        ranked = dict(known) if own else known
        for name, (important, value) in own.items():
            rank = (important, True, _INLINE)
            if name not in ranked or rank >= ranked[name][0]:
                ranked[name] = (rank, value)
        return {name: value for name, (_, value) in ranked.items()}, doubt

    def _matching(self, tag: str, names: tuple[str, ...]) -> tuple[_Ranked, list[_Rule]]:
        """Return what the evaluated rules say of an element, and the other rules that may match it."""
        ranked: _Ranked = {}
        perhaps = []
        have = frozenset(names)
        for key in (*dict.fromkeys(names), tag, ""):
            for rule in self._rules.get(key, {}).values():
                if rule.tag not in ("", tag) or not rule.names <= have:
                    continue
                if not rule.is_whole:
                    perhaps.append(rule)
                    continue
                for name, (important, value) in rule.style.items():
                    rank = (important, False, rule.weight)
                    if name not in ranked or rank >= ranked[name][0]:
                        ranked[name] = (rank, value)
        return ranked, perhaps
