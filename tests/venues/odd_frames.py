"""JSON texts taken apart and put together again with something odd in them, digit for digit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import cycle, islice
from typing import Any, NamedTuple

Path = tuple[int, ...]
"""Position of a value: the index of each member, or entry, on the way down."""


class Number(NamedTuple):
    """A JSON number as it is spelled."""

    text: str


class Member(NamedTuple):
    key: str
    value: Any


class Object(NamedTuple):
    """Members in their order, repeated ones too."""

    members: tuple[Member, ...]


class Verbatim(NamedTuple):
    """Text put in as it stands, JSON or not."""

    text: str


def parse(text: bytes) -> Any:
    """Lists, strings, True, False, None, `Number` and `Object`."""
    return json.loads(
        text,
        parse_int=Number,
        parse_float=Number,
        object_pairs_hook=lambda pairs: Object(tuple(Member(k, v) for k, v in pairs)),
    )


def write(node: Any, space: str = "") -> bytes:
    """The text of a tree; `space` stands after each of its marks."""
    return _text(node, space).encode()


def _text(node: Any, space: str) -> str:
    match node:
        case Number() | Verbatim():
            return node.text
        case Object():
            inside = f",{space}".join(
                f"{json.dumps(m.key, ensure_ascii=False)}:{space}{_text(m.value, space)}" for m in node.members
            )
            return f"{{{space}{inside}{space}}}"
        case list():
            inside = f",{space}".join(_text(entry, space) for entry in node)
            return f"[{space}{inside}{space}]"
        case str():
            return json.dumps(node, ensure_ascii=False)
        case _:
            return json.dumps(node)


def children(node: Any) -> list[Any]:
    if isinstance(node, Object):
        return [m.value for m in node.members]
    return node if isinstance(node, list) else []


def paths(node: Any, entries_max: int = 2, at: Path = ()) -> Iterator[Path]:
    """Of every value; of a list only the first entries and the last."""
    yield at
    inside = children(node)
    indexes: list[int] = list(range(len(inside)))
    if isinstance(node, list) and len(inside) > entries_max:
        indexes = [*range(entries_max), len(inside) - 1]
    for index in indexes:
        yield from paths(inside[index], entries_max, (*at, index))


def value_at(node: Any, path: Path) -> Any:
    for index in path:
        node = children(node)[index]
    return node


def edited(node: Any, path: Path, edit: Callable[[Any], Any]) -> Any:
    """The tree with one value changed."""
    if not path:
        return edit(node)
    index, rest = path[0], path[1:]
    if isinstance(node, Object):
        members = list(node.members)
        members[index] = Member(members[index].key, edited(members[index].value, rest, edit))
        return Object(tuple(members))
    return [edited(entry, rest, edit) if i == index else entry for i, entry in enumerate(node)]


def put(node: Any, path: Path, value: Any) -> Any:
    """The tree with another value there."""
    return edited(node, path, lambda _: value)


def changed_everywhere(node: Any, change: Callable[[Any], Any]) -> Any:
    """The tree with each value changed, the innermost first."""
    if isinstance(node, Object):
        node = Object(tuple(Member(m.key, changed_everywhere(m.value, change)) for m in node.members))
    elif isinstance(node, list):
        node = [changed_everywhere(entry, change) for entry in node]
    return change(node)


# --- the same said otherwise ------------------------------------------------------------------------

UNKNOWN = (
    Member("zzUnknown", "new"),
    Member("zzList", [[Number("1"), "2"], None]),
    Member("zzObject", Object((Member("data", []), Member("E", Number("1")), Member("é☃", True)))),
)
"""Fields no venue has today."""


def with_unknown_fields(node: Any) -> Any:
    """New fields at the end of every object."""
    return changed_everywhere(node, lambda n: Object((*n.members, *UNKNOWN)) if isinstance(n, Object) else n)


def reversed_keys(node: Any) -> Any:
    return changed_everywhere(node, lambda n: Object(n.members[::-1]) if isinstance(n, Object) else n)


# --- something wrong --------------------------------------------------------------------------------

ODD_VALUES: tuple[Any, ...] = (
    None, True, "", "x", " 1", "1_0", "NaN", "٣", "é☃\U0001f600", '\\"', "-1", "1e-7", "1E+30", "1e999999999",
    "9" * 40, "9" * 5000, "²", "0." + "0" * 70 + "1", "-0", "+1", ".5", "1.", "0x10", "1700000000000.5",
    Number("0"), Number("-1"), Number("1e-7"), Number("1E+30"), Number("1e400"), Number("9" * 40), Number("9" * 5000),
    Number("1.5"), Number("-9223372036854775809"), Number("18446744073709551616"), Number("-0.0"),
    [], [None], [[]], [["1"]], [["1", "2", "3", "4", "5"]], [[None, None]], [Object(())], ["x"], [Number("1")] * 4,
    Object(()), Object((Member("a", Number("1")),)), Verbatim("NaN"), Verbatim("Infinity"), Verbatim("01"),
    Verbatim('"\\ud800"'), Verbatim("[" * 1200 + "]" * 1200), Verbatim('{"a":' * 1200 + "1" + "}" * 1200),
    Verbatim(""), Verbatim('"unfinished'),
)  # fmt: skip
"""Put in the place of any value."""

GARBAGE: tuple[bytes, ...] = (
    b"", b" ", b"\n\t \r", b"\x00", b"\xff\xfe", b"\x80", b"{", b"}", b"[", b"]", b"[]", b"{}", b'""', b"null", b"0",
    b"-", b"true", b"nul", b"pong", b"ping", b"[[]]", b"[{}]", b"[null]", b"{}{}", b'{"":""}', b'{"a"', b'{"a":}',
    b"\xef\xbb\xbf{}", b"[" * 100_000, b"{" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, b'"' + b"x" * 10_000,
    b'{"e":"\xff"}', b'"\\ud800"', b"\x1f\x8b\x08\x00", bytes(range(256)), b"Binary\x01\x02", b"1e999999999",
)  # fmt: skip
"""Nothing any venue would send."""


def removed(node: Any, path: Path) -> Any:
    """Without the value (and its key)."""
    last = path[-1]

    def cut(parent: Any) -> Any:
        if isinstance(parent, Object):
            return Object(parent.members[:last] + parent.members[last + 1 :])
        return parent[:last] + parent[last + 1 :]

    return edited(node, path[:-1], cut)


def repeated(node: Any, path: Path, value: Any) -> Any:
    """The member, or entry, a second time, with another value."""
    last = path[-1]

    def repeat(parent: Any) -> Any:
        if isinstance(parent, Object):
            return Object((*parent.members, Member(parent.members[last].key, value)))
        return [*parent, value]

    return edited(node, path[:-1], repeat)


def oddities(text: bytes, values_per_place: int = len(ODD_VALUES), cuts: int = 60, turn: int = 0) -> Iterator[bytes]:
    """The text with one thing wrong: at every place some of the odd values, in turn, and one change of its structure.

    `turn` says which come first, so that many texts together see all of them.
    """
    node = parse(text)
    values = islice(cycle(ODD_VALUES), turn % len(ODD_VALUES), None)
    changes = islice(cycle(range(4)), turn % 4, None)
    for path in paths(node):
        for value in islice(values, values_per_place):
            yield write(put(node, path, value))
        if path:
            yield write(_restructured(node, path, next(changes)))
    yield from broken(text, cuts)


def _restructured(node: Any, path: Path, how: int) -> Any:
    match how:
        case 0:
            return removed(node, path)
        case 1:
            return repeated(node, path, value_at(node, path))
        case 2:
            return repeated(node, path, None)
        case _:
            return edited(node, path, lambda old: [old])


def broken(text: bytes, cuts: int = 60) -> Iterator[bytes]:
    """Cut short, doubled, and with bytes that are no text."""
    for end in range(0, len(text), max(1, len(text) // cuts)):
        yield text[:end]
        yield text[:end] + b"\xff" + text[end + 1 :]
        yield text[:end] + b"\x00" + text[end:]
    yield from (text + text, text + b" ", b" " + text, text + b"x")


def respelled(text: str) -> Iterator[str]:
    """The same number in other ways: more or fewer zeros, an exponent."""
    number = Decimal(text)
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    whole = ("-" if sign else "") + "".join(map(str, digits))
    yield f"{whole}e{exponent}"
    yield f"{whole}E{exponent:+d}"
    plain = f"{number:f}"
    yield plain + "0" if "." in plain else plain + ".0"
    if "." in plain:
        yield plain.rstrip("0").rstrip(".")
