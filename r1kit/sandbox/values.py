"""Encode Python values as bytes and decode them: how answers leave a box, and how a test's two processes talk.

What it defends against: bytes that a hostile program wrote. Decoding builds plain data only (numbers, text, lists,
dicts, ...), never an object of the program's own classes, and runs no code of the program. Subclasses are encoded as
their plain base: an `int` whose `__eq__` is always true arrives as an `int`. What it does NOT defend against: a wrong
value; whether an answer is right is for the judge to decide (judge.py).

An encoded value is one letter, then its content; lengths are decimal and end in a colon:

    encode_value([1, "a"]) == b"l2:i1:1s1:a"

What is no data (an instance of a class, say) can be sent in a form that the caller chooses (letter `o`, see
objects.py). This file imports nothing, because the box runs it too.
"""

MAX_DEPTH = 200  # levels of nesting: deeper values could exhaust the stack of whoever decodes them
ALL_LETTERS = "nyzifcsbaltdego"
JSON_LETTERS = "nyzifsltd"  # None, True, False, int, float, str, list, tuple, dict

# Types that are sent as they are; of all others, `pack` decides (see `encode_value`).
CONSTANT_TYPES = frozenset((type(None), bool, int, float, complex, str, bytes, tuple, frozenset))
_SEQUENCE_LETTERS = ((list, b"l"), (tuple, b"t"), (set, b"e"), (frozenset, b"g"))
_SEQUENCE_TYPES = {"l": list, "t": tuple, "e": set, "g": frozenset}
_CONSTANTS = {"n": None, "y": True, "z": False}


def encode_value(value, pack=None, depth=0):
    """Return `value` as bytes.

    `pack(value, depth)` returns the bytes by which a value of a type that is not in CONSTANT_TYPES is sent, or None
    where it is sent as its plain base. Raises TypeError for a value that is no data where `pack` is None, and
    ValueError for a value of more than MAX_DEPTH levels.
    """
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    value_type = type(value)
    if value is None:
        return b"n"
    if value_type is bool:
        return b"y" if value else b"z"
    # What messages are mostly made of, ahead of the general rules below.
    if value_type is str:
        return _with_length(b"s", value.encode("utf-8", "surrogatepass"))
    if value_type is int:
        return _with_length(b"i", b"%x" % value)
    if value_type is tuple:
        return b"t%d:" % len(value) + b"".join([encode_value(item, pack, depth + 1) for item in value])
    if pack is not None and value_type not in CONSTANT_TYPES:
        packed = pack(value, depth)
        if packed is not None:
            return _with_length(b"o", packed)
    # The methods of the plain base are called, not those that a subclass may have put in their place.
    if issubclass(value_type, int):
        return _with_length(b"i", b"%x" % int.__index__(value))
    if issubclass(value_type, float):
        return _with_length(b"f", float.hex(value).encode())
    if issubclass(value_type, complex):
        plain = complex.__add__(value, 0)
        return b"c" + encode_value(plain.real) + encode_value(plain.imag)
    if issubclass(value_type, str):
        return _with_length(b"s", str.encode(value, "utf-8", "surrogatepass"))
    if issubclass(value_type, bytes | bytearray):
        return _with_length(b"b" if issubclass(value_type, bytes) else b"a", bytes(value))
    if issubclass(value_type, dict):
        encoded = []
        for key, item in dict.items(value):
            encoded.append(encode_value(key, pack, depth + 1))
            encoded.append(encode_value(item, pack, depth + 1))
        return b"d%d:" % len(encoded) + b"".join(encoded)
    for base, letter in _SEQUENCE_LETTERS:
        if issubclass(value_type, base):
            encoded = [encode_value(item, pack, depth + 1) for item in base.__iter__(value)]
            return letter + b"%d:" % len(encoded) + b"".join(encoded)
    raise TypeError(f"{value_type.__name__} is not data")


def _with_length(letter, content):
    return letter + b"%d:" % len(content) + content


def decode_value(data, unpack=None, letters=ALL_LETTERS):
    """Return the value that `data` encodes, whoever wrote it. Raises ValueError unless it is exactly one value.

    `unpack(content)` returns the value that `pack` sent (see `encode_value`). With `letters=JSON_LETTERS` only what
    JSON has is taken, and keys become text as json.dumps writes them: then no value whose hash a program can choose is
    put into a hash table, where many equal hashes would cost the judge minutes.
    """
    try:
        value, end = _decode_at(data, 0, unpack, 0, letters)
    except (IndexError, TypeError, OverflowError, UnicodeError, RecursionError) as error:
        raise ValueError(f"no value: {error}") from None
    if end != len(data):
        raise ValueError("more than one value")
    return value


def _decode_at(data, position, unpack, depth, letters):
    """Return the value that begins at `position`, and the position after it."""
    letter = chr(data[position])
    position += 1
    if letter not in letters:
        raise ValueError("no value")
    if letter in _CONSTANTS:
        return _CONSTANTS[letter], position
    if depth > MAX_DEPTH + 2:
        raise ValueError("no value")
    if letter == "c":
        real, position = _decode_at(data, position, unpack, depth + 1, letters)
        imaginary, position = _decode_at(data, position, unpack, depth + 1, letters)
        return complex(real, imaginary), position
    colon = data.index(b":", position, position + 12)
    size = int(data[position:colon])
    position = colon + 1
    if not 0 <= size <= len(data) - position:
        raise ValueError("no value")
    if letter in "ltegd":
        items = []
        for _ in range(size):
            item, position = _decode_at(data, position, unpack, depth + 1, letters)
            items.append(item)
        if letter == "d":
            return _build_dict(items, letters == JSON_LETTERS), position
        return _SEQUENCE_TYPES[letter](items), position
    end = position + size
    return _decode_content(letter, bytes(data[position:end]), unpack), end


def _build_dict(keys_and_values, has_json_keys):
    keys, values = keys_and_values[::2], keys_and_values[1::2]
    if has_json_keys:
        keys = map(_json_key, keys)
    result = dict(zip(keys, values, strict=True))
    if len(result) != len(values):
        raise ValueError("a key twice")
    return result


def _json_key(key):
    """Return a dict's key as json.dumps writes it."""
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, int | float):
        return str(key)
    raise ValueError("no key")


def _decode_content(letter, content, unpack):
    """Return the value of a letter whose content is plain bytes."""
    if letter == "b" or letter == "a":
        return content if letter == "b" else bytearray(content)
    if letter == "s":
        return content.decode("utf-8", "surrogatepass")
    if letter == "i":
        return int(content, 16)
    if letter == "f":
        return float.fromhex(content.decode())
    if unpack is None:
        raise ValueError("not data")
    return unpack(content)
