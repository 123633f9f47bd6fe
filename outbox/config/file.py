"""The configuration file: read once, checked by models, every mistake reported at once with its line.

The sections [agent], [network] and [upload] are checked here. A [source:NAME] is checked by the model of
its collector, which this room does not know: `ConfigFile.section` is the one way, for all of them.
"""

import configparser
import difflib
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from outbox.config.options import Options
from outbox.config.sections import AgentOptions, NetworkOptions, UploadOptions
from outbox.errors import ConfigError, shorten

SOURCE = "source:"
OWN_SOURCE = "agent"
"""The source that every agent has, with or without a section: the agent itself."""
CORE: Mapping[str, type[Options]] = {
    "agent": AgentOptions,
    "network": NetworkOptions,
    "upload": UploadOptions,
}
_SECRET = re.compile(r"auth|credential|dsn|key|login|pass|pwd|secret|token", re.IGNORECASE)
_OPTION = re.compile(r"[a-z]+([_-][a-z]+)*")
_MAY_HOLD_SECRETS = {"auth_header", "body", "headers", "proxy", "query", "to", "url"}
"""Options whose text is never shown: a misspelt line of them may hold a key."""
_LOGIN = re.compile(r"//[^/\s]*@")

Model = TypeVar("Model", bound=Options)


class Config(NamedTuple):
    """A configuration whose core sections are right; the sources' sections are still text."""

    file: "ConfigFile"
    agent: AgentOptions
    network: NetworkOptions
    upload: UploadOptions

    @property
    def folder(self) -> Path:
        """The agent's folder, absolute: relative ones are relative to the configuration file."""
        return (self.file.path.parent / self.agent.folder).absolute()

    @property
    def database(self) -> Path:
        """The outbox."""
        return self.folder / "outbox.db"

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the configured sources, in the order of the file."""
        return self.file.sources


def load(path: Path, *, also: Callable[["ConfigFile"], object] = lambda _file: None) -> Config:
    """Read the file and check its core sections; ConfigError lists every mistake in them.

    `also` may check the sources, so that their mistakes are reported with these; alone they raise nothing,
    since one source's mistake stops no other: `require_valid` and `mistakes_in` tell of them.
    """
    file = ConfigFile.read(path)
    agent, network, upload = (file.section(name, model) for name, model in CORE.items())
    also(file)
    if any(file.mistakes_in(name) for name in file.sections if not name.startswith(SOURCE)):
        file.require_valid()
    assert isinstance(agent, AgentOptions)  # noqa: S101 - for the type checker: require_valid has raised
    assert isinstance(network, NetworkOptions)  # noqa: S101
    assert isinstance(upload, UploadOptions)  # noqa: S101
    return Config(file, agent, _with_absolute_bundle(network, path.parent / agent.folder), upload)


def _with_absolute_bundle(network: NetworkOptions, folder: Path) -> NetworkOptions:
    """A bundle's path is relative to the agent's folder, as secrets' are."""
    if network.ca_bundle == "system":
        return network
    return network.model_copy(update={"ca_bundle": str((folder / network.ca_bundle).absolute())})


class ConfigFile:
    """A file's sections as text, the line of each option, and the mistakes found so far."""

    def __init__(
        self, path: Path, options: Mapping[str, Mapping[str, str]], lines: Mapping[str, int]
    ) -> None:
        self.path = path
        self._options = options
        self._lines = lines
        self._problems: list[tuple[int, str, str]] = []  # line, section, message
        for name in options:
            self._check_section_name(name)

    @classmethod
    def read(cls, path: Path) -> "ConfigFile":
        """Read the file; ConfigError when it is missing, no UTF-8 or no INI."""
        return cls.parse(_read_text(path), path)

    @classmethod
    def parse(cls, text: str, path: Path) -> "ConfigFile":
        """Take the text of a file at `path`; ConfigError when it is no INI."""
        parser = configparser.ConfigParser(interpolation=None, strict=True, default_section="\0")
        try:
            parser.read_string(text, source=path.name)
        except configparser.Error as error:
            raise ConfigError([f"{path}: {_syntax(error)}"]) from error
        options = {name: dict(parser.items(name)) for name in parser.sections()}
        return cls(path, options, _line_numbers(text))

    @property
    def sections(self) -> set[str]:
        """The sections that are there, and those that must be."""
        return {*self._options, *CORE}

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the configured sources, in the file's order; the agent's own is not among them."""
        names = (name.removeprefix(SOURCE) for name in self._options if name.startswith(SOURCE))
        return tuple(name for name in names if name != OWN_SOURCE)

    def options(self, section: str) -> dict[str, str]:
        """Return what the file says of each option of a section; empty where there is no such section."""
        return dict(self._options.get(section, {}))

    def references(self) -> set[str]:
        """Every value in the file: among them the references to secrets."""
        return {value.strip() for options in self._options.values() for value in options.values()}

    def text(self, section: str, option: str) -> str | None:
        """Return what the file says of an option, None where it says nothing."""
        return self._options.get(section, {}).get(option)

    def section(self, name: str, model: type[Model]) -> Model | None:
        """Return the section as its model; None, and its mistakes noted, where it is wrong."""
        values = self._options.get(name)
        if values is None and any(field.is_required() for field in model.model_fields.values()):
            self.problem(name, None, "the section is missing")
            return None
        found: Model | None = None
        wrong: set[object] = set()
        try:
            found = model.model_validate(values or {})
        except ValidationError as error:
            for details in error.errors():
                wrong.update(details["loc"][:1])
                self._invalid(name, model, details)
        if name in CORE and values:
            for option, value in values.items():
                if option in model.model_fields and option not in wrong and (hint := _hint(value)):
                    self.problem(name, option, hint)
        return found

    def where(self, section: str, option: str | None) -> str:
        """Return where the file speaks of an option, or else of its section: `config.ini:12  [upload] to`."""
        line = self._line(section, option)
        what = f"[{section}] {option}" if option and _OPTION.fullmatch(option) else f"[{section}]"
        return f"{self.path.name}:{line}  {what}" if line else f"{self.path.name}  {what}"

    def problem(self, section: str, option: str | None, message: str) -> None:
        """Note a mistake; `require_valid` reports it."""
        self._problems.append(
            (self._line(section, option), section, f"{self.where(section, option)}: {message}")
        )

    def _line(self, section: str, option: str | None) -> int:
        return self._lines.get(f"{section}\0{option}") or self._lines.get(section, 0)

    def require_valid(self) -> None:
        """Raise ConfigError when any mistake was noted."""
        if self._problems:
            raise self._error(self._problems)

    def mistakes_in(self, section: str) -> ConfigError | None:
        """Return the error of one section, None where it is right: one source's mistake stops no other."""
        found = [problem for problem in self._problems if problem[1] == section]
        return self._error(found) if found else None

    def _error(self, problems: list[tuple[int, str, str]]) -> ConfigError:
        unique = dict.fromkeys(text for *_, text in sorted(problems, key=lambda found: found[0]))
        return ConfigError(unique, hint="every option and its default: outbox options")

    def _invalid(self, section: str, model: type[Options], details: ErrorDetails) -> None:
        option = str(details["loc"][0]) if details["loc"] else None
        value = (self.text(section, option) if option else None) or ""
        if details["type"] == "missing":
            self.problem(section, option, "is missing")
            return
        if details["type"] == "extra_forbidden" and option:
            unknown = _unknown("option", option, sorted(model.model_fields))
            if not _OPTION.fullmatch(option):  # a key in base64 ends in "=", and looks like an option then
                unknown += ". Its name is not shown: it may be a key"
            self.problem(section, option, unknown)
            return
        message = details["msg"].removeprefix("Value error, ").removeprefix("Input ")
        secret = option in _MAY_HOLD_SECRETS or _SECRET.search(f"{option} {message}") or _LOGIN.search(value)
        shown = "" if not value or secret else f"{shorten(value, 60)!r} "
        hint = _hint(value)
        self.problem(section, option, f"{shown}{message}" + (f" ({hint})" if hint else ""))

    def _check_section_name(self, name: str) -> None:
        known = [*CORE, f"{SOURCE}NAME"]
        if name.startswith(SOURCE):
            if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", name.removeprefix(SOURCE)):
                self.problem(name, None, "a source's name has a-z, 0-9, - and _ only, at most 63 of them")
        elif name not in CORE:
            self.problem(name, None, _unknown("section", name, known))


def _unknown(kind: str, name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    guess = f"; did you mean {close[0]}?" if close else ""
    return (
        f"unknown {kind}{guess} Known: {', '.join(known)}"
        if guess
        else f"unknown {kind}. Known: {', '.join(known)}"
    )


def _hint(value: str) -> str | None:
    if re.search(r"\s[#;]", value):
        return "a comment needs a line of its own"
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return "write it without quotation marks"
    if re.search(r"\n(\[|\w+\s*=)", value):
        return "an indented line belongs to the option above it: begin at the line's start"
    return None


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        hint = "name it with --config, or make one with: outbox init"
        raise ConfigError([f"there is no configuration at {path}"], hint=hint) from error
    except OSError as error:
        raise ConfigError([f"{path} cannot be read: {error.strerror}"]) from error
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data:
        raise ConfigError(
            [f"{path} is UTF-16 (Notepad calls it Unicode), or no text at all"], hint="save it as UTF-8"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path.name}:{line}  is no UTF-8"], hint="save it as UTF-8") from error


def _syntax(error: configparser.Error) -> str:
    match error:
        case configparser.DuplicateOptionError():
            return f"line {error.lineno}: [{error.section}] {error.option} is given twice"
        case configparser.DuplicateSectionError():
            return f"line {error.lineno}: the section [{error.section}] is there twice"
        case configparser.MissingSectionHeaderError():
            return f"line {error.lineno} is before any [section]"
        case configparser.ParsingError():
            # Without the text: it may be a key that was pasted into a line of its own.
            numbers = ", ".join(str(line) for line, _ in error.errors[:20])
            return f"neither option = value nor [section] nor an indented line: line {numbers}"
    return f"is no INI file ({type(error).__name__})"


def _line_numbers(text: str) -> dict[str, int]:
    """Where each section and each option begins; configparser does not tell."""
    lines: dict[str, int] = {}
    section, indent, in_option = "", 0, False
    for number, line in enumerate(io.StringIO(text), start=1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        spaces = len(line) - len(line.lstrip())
        if in_option and spaces > indent:
            continue  # another line of the value
        indent = spaces
        if match := re.match(r"\[(?P<name>.+)\]", stripped):
            section, in_option = match["name"], False
            lines.setdefault(section, number)
        elif match := re.match(r"(?P<name>[^=:]+?)\s*[=:]", stripped):
            in_option = True
            lines.setdefault(f"{section}\0{match['name'].lower()}", number)
    return lines
