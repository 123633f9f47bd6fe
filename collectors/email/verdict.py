"""Reads the receiving mail server's verdict on a DKIM signature (Authentication-Results, RFC 8601).

Invariants:
- Only the topmost such header counts, and only when it names the configured server: any sender can write
  such headers, and the receiving server puts its own above them.
- A word in a comment or in quotes is not a verdict.
"""

import re
from collections.abc import Sequence

MAX_CHARS = 20_000
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)(?:"|\Z)|([;=])|([^\s"();=]+)', re.DOTALL)


def signed_domains(headers: Sequence[str], server: str) -> tuple[str, ...]:
    """Return the domains whose DKIM signature `server` found valid; () where its verdict is missing.

    `headers` are the values of Authentication-Results, the topmost first.
    """
    if not headers or len(headers[0]) > MAX_CHARS:
        return ()
    name, *results = _statements(_without_comments(headers[0]))
    if not name or name[0].lower() != server.lower():
        return ()
    return tuple(domain for result in results if (domain := _signed_domain(result)))


def is_signed_by(sender: str, domains: Sequence[str]) -> bool:
    """Return whether one of the domains is that of the sender's address, or a parent of it."""
    host = sender.rpartition("@")[2].lower()
    return any(f".{host}".endswith(f".{domain}") for domain in domains)


def _signed_domain(result: Sequence[str]) -> str:
    """Return the domain of one `dkim = pass header.d = example.com`; "" for any other statement."""
    words = list(result)
    properties: dict[str, str] = {}
    for number in range(1, len(words) - 1):
        if words[number] == "=":  # the first of a name counts: later ones may be quoted from the message
            properties.setdefault(words[number - 1].lower(), words[number + 1].lower())
    method = words[0].partition("/")[0].lower() if words else ""
    if method != "dkim" or words[1:2] != ["="] or properties.get(words[0].lower()) != "pass":
        return ""
    domain = properties.get("header.d") or properties.get("header.i", "").rpartition("@")[2]
    # A signature of a whole top-level domain identifies nobody.
    return domain if re.fullmatch(r"[\w-]+(\.[\w-]+)+", domain) else ""


def _statements(text: str) -> list[list[str]]:
    """Return the words between semicolons; `=` is a word, and so is a quoted text."""
    statements: list[list[str]] = [[]]
    for quoted, sign, word in _TOKEN.findall(text):
        if sign == ";":
            statements.append([])
        else:
            statements[-1].append(sign or word or f'"{quoted}"')
    return statements


def _without_comments(text: str) -> str:
    """Return the text without comments, which may be nested; a parenthesis in quotes starts none."""
    kept: list[str] = []
    depth, in_quotes, escaped = 0, False, False
    for char in text:
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == '"' and not depth:
            in_quotes = not in_quotes
        elif char == "(" and not in_quotes:
            depth += 1
        elif char == ")" and depth:
            depth -= 1
            kept.append(" ")
            continue
        if not depth:
            kept.append(char)
    return "".join(kept)
