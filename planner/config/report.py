"""What is wrong with a configuration, in the operator's own terms.

Pydantic validates and knows where a value is; the texts are ours. A value that is refused says why
and what to do (`refusal`), a key says what it is for and how it may look (`key`), and `Report`
makes problems of both.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, NoReturn, TypeAlias, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError, PydanticKnownError

from planner.errors import Problem

Loc: TypeAlias = tuple[str | int, ...]
"""A place in the configuration: keys and list positions from the top."""

Problems: TypeAlias = Iterator[tuple[Loc, str, str, str]]
"""Place, what is wrong, why, and what to do: the arguments of `Report.add`."""

JsonSchema: TypeAlias = dict[str, Any]
"""What an editor checks a value by (JSON Schema, draft 7)."""

T = TypeVar("T")
M = TypeVar("M", bound="Model")

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SHOWN = 60
HUGE = 10**20
"""Numbers from here on are not shown: str() raises ValueError for more than 4,300 digits."""
_NAMED = {"hosts": "host", "networks": "network", "containers": "container"}
_REFUSAL = "wanbound"
"""The error type that marks our own texts among pydantic's."""
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/\[\]-]*")
"""A key that may be shown: names of environment variables, labels and keys of daemon.json have this
form. `NAME=password` in place of a name is not shown."""
_ONE_LINE = "Values become parts of rules and file names, so each must be one printable line."
_DEPTH = 12
"""Levels of nesting; the configuration needs 8. More is a YAML alias that contains itself."""


class Model(BaseModel):
    """Base of all mappings of the configuration; `example` is one in YAML.

    A model first holds what the operator wrote. resolve.py returns copies of it in which defaults
    that depend on other keys, and the `Resolved` fields, have their values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    example: ClassVar[str]


def key(example: str, why: str, default: object = ..., name: str | None = None) -> Any:  # noqa: ANN401 - as Field() does
    """Return a key of a mapping: an example of its value and why it is there, for the errors.

    `name` is the key in the configuration where Python cannot have it as a field's name.
    """
    return Field(default, description=why, examples=[example], alias=name)


def written(validate: Callable[..., object], schema: JsonSchema) -> PlainValidator:
    """Return the validator of a type; `schema` accepts every value that it accepts, or more."""
    return PlainValidator(validate, json_schema_input_type=Annotated[Any, WithJsonSchema(schema)])


def _unknown(_: object) -> NoReturn:
    raise PydanticKnownError("extra_forbidden")


Resolved: TypeAlias = Annotated[T, PlainValidator(_unknown)]
"""A field that resolve.py computes. In the configuration it is an unknown key."""


def refusal(what: str, why: str, remedy: str) -> PydanticCustomError:
    """Return the error for a validator to raise; the texts as in `Problem`."""
    return PydanticCustomError(_REFUSAL, "{what}", {"what": what, "why": why, "remedy": remedy})


def show(value: object) -> str:
    """Return a value as an error may quote it: short, on one line, as YAML would have it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() if abs(value) >= HUGE:
            return "a huge number"
        case int() | float():
            return str(value)
        case str():
            text = value[:_SHOWN]
            # ascii() and not repr(): a look-alike letter or a mark of direction must be seen.
            quoted = f'"{text}"' if text.isascii() and text.isprintable() else ascii(text)
            return quoted if len(value) <= _SHOWN else f"{quoted}…"
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return f"a value of the kind {type(value).__name__}"


def kind_of(value: object) -> str:
    """Return what kind of value it is: for errors about values that may be secrets."""
    match value:
        case bool():
            return show(value)
        case int() | float():
            return "a number"
        case str():
            return "text"
    return show(value)


def render(loc: Loc) -> str:
    """Return a place as the operator writes it, `wanbound:hosts[0].ssh.port` for example."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{show(part) if _WORD.fullmatch(part) else '…'}]"
    return f"wanbound:{text}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint at the nearest of the known words, to put before a remedy; "" for none."""
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f"did you mean {near[0]}? Otherwise " if near else ""


class _Refused:
    """Replaces a value that was refused; no type of the configuration accepts it."""


class Report:
    """The problems found so far; `raw` is the whole configuration, read for names only."""

    def __init__(self, raw: object) -> None:
        self._raw = raw
        self._found: dict[Problem, None] = {}
        self._refused: list[Loc] = []

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem once, in the order in which they were found."""
        return tuple(self._found)

    def add(self, loc: Loc, what: str, why: str, remedy: str) -> None:
        """Note a problem with the value at `loc`."""
        self._found[Problem(render(loc), what, why, remedy, self._where(loc))] = None

    def _where(self, loc: Loc) -> str:
        """Return the names of the host, network and container around a place."""
        places = []
        kind = ""
        here = self._raw
        for part in loc:
            if isinstance(part, str) and isinstance(here, Mapping):
                kind, here = _NAMED.get(part, ""), here.get(part)
            elif isinstance(part, int) and isinstance(here, list | tuple) and part < len(here):
                here = here[part]
                name = here.get("name") if kind and isinstance(here, Mapping) else None
                if isinstance(name, str) and name.isprintable():
                    places.append(f"{kind} {name if _PLAIN_KEY.fullmatch(name) else show(name)}")
        return ", ".join(places)

    # First pass, before any model: only plain text, numbers, lists and mappings. It refuses every
    # newline and control character, so no later step can end a line of iptables or nft early.

    def plain(self, value: object, loc: Loc = ()) -> object:
        """Return `value` as plain dicts and lists; what cannot be used is reported, and marked."""
        if len(loc) > _DEPTH:
            return self._refuse(loc, "nests deeper than any key of the configuration", "remove it")
        match value:
            case int():
                return value
            case float() if math.isfinite(value):
                return value
            case str():
                # Not quoted: it may be a key or a password in the wrong place.
                if (found := _unprintable(value)) is None:
                    return value
                return self._refuse(
                    loc,
                    f"has {found} in its text",
                    "write it on one line, without control characters and without a YAML block"
                    " (| or >)",
                    _ONE_LINE,
                )
            case Mapping():
                return self._mapping(value, loc)
            case list() | tuple():
                return [self.plain(item, (*loc, place)) for place, item in enumerate(value)]
            case None:
                remedy = "write a value, or remove the key to get its default"
                if "environment" in loc:
                    remedy = 'write "" if an empty text is meant'
                return self._refuse(loc, "has no value", remedy)
        what = f"is {show(value)}, which the configuration cannot use"
        return self._refuse(loc, what, "write plain text, a number, a list or a mapping")

    def _mapping(self, raw: Mapping[Any, object], loc: Loc) -> dict[str, object]:
        plain: dict[str, object] = {}
        for name, value in raw.items():
            if not isinstance(name, str):
                what = f"has {show(name)} as a key, which YAML does not read as text"
                self.add(loc, what, "Keys are names.", "quote the key")
            elif (found := _unprintable(name)) is not None:
                what = f"has a key with {found} in it"
                self.add(loc, what, "Keys are names.", "type the key again")
            else:
                plain[name] = self.plain(value, (*loc, name))
        return plain

    def _refuse(self, loc: Loc, what: str, remedy: str, why: str = "") -> _Refused:
        self.add(loc, what, why, remedy)
        self._refused.append(loc)
        return _Refused()

    # Second pass: the model.

    def model(self, kind: type[M], value: object, loc: Loc) -> M | None:
        """Return a plain `value` as a model, or None after reporting what is wrong with it."""
        try:
            return kind.model_validate(value)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                self._explain(kind, detail, loc)
        return None

    def _explain(self, kind: type[Model], detail: ErrorDetails, base: Loc) -> None:
        """Report one error of pydantic's, unless the value was reported by `plain`."""
        inner, ours = detail["loc"], detail["type"] == _REFUSAL
        odd_key = ours and inner[-1:] == ("[key]",)  # pydantic's mark for a mapping's key
        if odd_key:
            inner = inner[:-1]
        loc = (*base, *inner)
        for refused in self._refused:
            if loc[: len(refused)] == refused or (ours and refused[: len(loc)] == loc):
                return
        if ours:
            texts = detail["ctx"]
            what = texts["what"]
            if odd_key:
                loc, what = loc[:-1], f"has a key that {what}"
            self.add(loc, what, texts["why"], texts["remedy"])
        elif detail["type"] == "extra_forbidden":
            fields = _model_at(kind, inner[:-1]).model_fields
            known = [info.alias or name for name, info in fields.items() if info.description]
            near = difflib.get_close_matches(str(loc[-1]), known, n=1)
            remedy = f"did you mean {near[0]}? The" if near else "remove it; the"
            why = "An unknown key is usually a misspelt one, and its value would be ignored."
            self.add(loc, "is an unknown key", why, f"{remedy} keys here are {', '.join(known)}")
        else:
            self._misshapen(kind, inner, detail, loc)

    def _misshapen(self, kind: type[Model], inner: Loc, detail: ErrorDetails, loc: Loc) -> None:
        """Report a missing value, or one that is a list, mapping or text in place of another."""
        info = _field_at(kind, inner)
        example, why = _model_at(kind, inner).example, ""
        if info is not None:
            why, example = info.description or "", (info.examples or [example])[0]
        # Below `config` of a stack file, and for `pulumi config set`, a key has the prefix.
        name = render(loc) if len(loc) == 1 else loc[-1]
        if detail["type"] == "missing":
            self.add(loc, "is missing", why, f"add {name}: {example}")
            return
        wanted = "a list" if detail["type"] in ("list_type", "tuple_type") else "a mapping"
        remedy = f"write {name}: {example}" if info is not None else f"write - {example}"
        # A value in place of a mapping or a list may be one of its (secret) values.
        self.add(loc, f"is {kind_of(detail['input'])}, not {wanted}", why, remedy)


def _unprintable(text: str) -> str | None:
    """Return a name for the first character in `text` that no value may have, None for none."""
    if text.isprintable():
        return None
    found = next(character for character in text if not character.isprintable())
    names = {"\n": "a line break", "\r": "a carriage return", "\t": "a tab", "\0": "a null byte"}
    return names.get(found, f"the unprintable character U+{ord(found):04X}")


def _model_at(kind: type[Model], inner: Loc) -> type[Model]:
    """Return the model of the mapping at a place, or of the nearest one around it."""
    for part in inner:
        if isinstance(part, str) and (info := kind.model_fields.get(part)) is not None:
            kind = next(_models(info.annotation), kind)
    return kind


def _field_at(kind: type[Model], inner: Loc) -> FieldInfo | None:
    """Return what is known about the key at a place, None for an entry of a list or mapping."""
    if not inner or isinstance(inner[-1], int):
        return None
    return _model_at(kind, inner[:-1]).model_fields.get(inner[-1])


def _models(annotation: Any) -> Iterator[type[Model]]:  # noqa: ANN401 - annotations are anything
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
