"""Python values as bytes, both ways: how answers leave the box. Only data, never an object of the program's.

A value is a letter, then its content; lengths are decimal and end in a colon. Subclasses go as their plain
base (an `int` whose `__eq__` is always true arrives as an int). If the caller keeps things that are no data
(`refer`), they go by number, and iterators and ranges as lists. Imports nothing: the box runs this file too.
"""

DEPTH = 200


def encode_value(value, refer=None, depth=0):
    """Return `value` as bytes.

    Raises TypeError for what is no data and cannot be referred to, ValueError beyond DEPTH.
    """
    if depth > DEPTH:
        raise ValueError("nested too deeply")
    kind = type(value)
    if value is None:
        return b"n"
    if kind is bool:
        return b"y" if value else b"z"
    if issubclass(kind, int):
        return _sized(b"i", b"%x" % int.__index__(value))
    if issubclass(kind, float):
        return _sized(b"f", float.hex(value).encode())
    if issubclass(kind, complex):
        return b"c" + encode_value(complex.__add__(value, 0).real) + encode_value(complex.__add__(value, 0).imag)
    if issubclass(kind, str):
        return _sized(b"s", str.encode(value, "utf-8", "surrogatepass"))
    if issubclass(kind, bytes | bytearray):
        return _sized(b"b", bytes(value))
    if issubclass(kind, dict):
        parts = [encode_value(part, refer, depth + 1) for pair in dict.items(value) for part in pair]
        return b"d%d:" % len(parts) + b"".join(parts)
    for base, letter in ((list, b"l"), (tuple, b"t"), (set, b"e"), (frozenset, b"g")):
        if issubclass(kind, base):
            parts = [encode_value(part, refer, depth + 1) for part in base.__iter__(value)]
            return letter + b"%d:" % len(parts) + b"".join(parts)
    if refer is not None and kind in _ITERATORS:
        return encode_value(list(value), refer, depth)
    if refer is not None:
        return _sized(b"o", b"%d" % refer(value))
    raise TypeError(f"{kind.__name__} is not data")


_ITERATORS: tuple = (
    *(range, map, filter, zip, enumerate, reversed, type(_ for _ in ()), type(iter([])), type(iter(()))),
    *(type({}.keys()), type({}.values()), type({}.items())),
)


def _sized(letter, content):
    return letter + b"%d:" % len(content) + content


def decode_value(data, resolve=None, letters="nyzifcsbltdego"):
    """Return the value of `data`, from wherever it came. Raises ValueError for anything but one whole value.

    `resolve` makes a value of the number of a thing that is no data. With JSON as `letters` only what JSON has is
    taken, and keys become text as json.dumps makes it: nothing whose hash a program can choose enters a table.
    """
    try:
        value, end = _decode(data, 0, resolve, 0, letters)
    except (IndexError, TypeError, OverflowError, UnicodeError, RecursionError) as error:
        raise ValueError(f"no value: {error}") from None
    if end != len(data):
        raise ValueError("more than one value")
    return value


_BUILD = {"l": list, "t": tuple, "e": set, "g": frozenset}
JSON_CODEC = "nyzifsltd"


def _key(key):
    """Return a dict's key as json.dumps writes it."""
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, int | float):
        return str(key)
    raise ValueError("no key")


def _decode(data, at, resolve, depth, letters):
    letter, at = chr(data[at]), at + 1
    if letter not in letters:
        raise ValueError("no value")
    if letter in "nyz":
        return {"n": None, "y": True, "z": False}[letter], at
    if depth > DEPTH + 2:
        raise ValueError("no value")
    if letter == "c":
        real, at = _decode(data, at, resolve, depth + 1, letters)
        imaginary, at = _decode(data, at, resolve, depth + 1, letters)
        return complex(real, imaginary), at
    colon = data.index(b":", at, at + 12)
    size, at = int(data[at:colon]), colon + 1
    if not 0 <= size <= len(data) - at:
        raise ValueError("no value")
    if letter in "ltegd":
        parts = []
        for _ in range(size):
            part, at = _decode(data, at, resolve, depth + 1, letters)
            parts.append(part)
        if letter != "d":
            return _BUILD[letter](parts), at
        keys = map(_key, parts[::2]) if letters == JSON_CODEC else parts[::2]
        made = dict(zip(keys, parts[1::2], strict=True))
        if 2 * len(made) != size:
            raise ValueError("a key twice")
        return made, at
    content, at = bytes(data[at : at + size]), at + size
    if letter == "b":
        return content, at
    if letter == "s":
        return content.decode("utf-8", "surrogatepass"), at
    if letter == "i":
        return int(content, 16), at
    if letter == "f":
        return float.fromhex(content.decode()), at
    if resolve is None:
        raise ValueError("not data")
    return resolve(int(content)), at
