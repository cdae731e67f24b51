"""Mutants: data that was changed, as bytes and in its structure."""

import io
import json
import warnings
import zipfile

# What somebody would write there who means harm.
HOSTILE = [
    "os", "system", "subprocess", "Popen", "builtins", "exec", "eval", "__import__", "object",
    "antigravity", "this", "ctypes", "socket", "shutil", "rmtree", "importlib", "import_module",
    "../../x", "/etc/passwd", "__class__", "__reduce__", "__main__", "", "\ud800", "a\0b",
    "TupleSerializer", "ExceptionSerializer", "SerializableValueSerializer", "EnumSerializer",
    "DataclassSerializer", "BuiltinSerializer", "StandardSerializer", "NumpySerializer",
    "builtins.int", "pathlib.PosixPath", "1e999999", "999999999999999999999999",
]  # fmt: skip
NUMBERS = [0, -1, 1, 2**31, 2**63, -(2**64), 10**30, 1e308, True, None]


def of_bytes(dice, data, others):
    """Changes a few bytes, or puts pieces elsewhere."""
    data = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        place = dice.randrange(len(data) + 1)
        end = min(len(data), place + dice.choice((1, 2, 8, 100)))
        kind = dice.randrange(7)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << dice.randrange(8)
        elif kind == 1 and place < len(data):
            data[place] = dice.randrange(256)
        elif kind == 2:
            del data[place:end]
        elif kind == 3:
            data[place:place] = data[place:end]
        elif kind == 4:
            del data[place:]
        elif kind == 5:
            other = dice.choice(others)
            start = dice.randrange(len(other) + 1)
            data[place:end] = other[start : start + dice.choice((1, 8, 100))]
        else:
            data[place:end] = dice.choice(HOSTILE).encode("utf-8", "surrogatepass")
    return bytes(data)


def of_json(dice, data, others):
    """Changes the tree of a JSON text."""
    tree = [json.loads(data)]
    for _ in range(dice.choice((1, 1, 2, 4))):
        nodes = list(_places(tree))
        parent, key = dice.choice(nodes)
        kind = dice.randrange(8)
        if kind < 3:
            other = [json.loads(dice.choice(others))]
            source, name = dice.choice(list(_places(other)))
            parent[key] = source[name]
        elif kind == 3:
            parent[key] = dice.choice(NUMBERS)
        elif kind == 4:
            parent[key] = [parent[key]]
        elif kind == 5 and isinstance(parent, dict):
            parent[dice.choice((*HOSTILE, *parent))] = parent.pop(key)
        elif kind == 6 and parent is not tree:
            del parent[key]
        else:
            texts = [place for place in nodes if isinstance(place[0][place[1]], str)]
            parent, key = dice.choice(texts or nodes)
            parent[key] = dice.choice(HOSTILE)
    return json.dumps(tree[0]).encode()


def _places(tree):
    pending = [tree]
    while pending:
        node = pending.pop()
        for key in node if isinstance(node, dict) else range(len(node)):
            yield node, key
            if isinstance(node[key], (dict, list)):
                pending.append(node[key])


def of_zip(dice, data, others):
    """Changes the members of a zip, one of them or which there are."""
    members = members_of(data)
    place = dice.randrange(len(members))
    name, content = members[place]
    foreign = dict(members_of(dice.choice(others)))
    kind = dice.randrange(7)
    if kind == 0:
        members[place] = name, of_bytes(dice, content, list(foreign.values()))
    elif kind in (1, 2) and content[:1] in (b"{", b"["):
        texts = [text for text in foreign.values() if text[:1] in (b"{", b"[")]
        members[place] = name, of_json(dice, content, texts)
    elif kind == 3:
        members[place] = name, dice.choice(list(foreign.values()))
    elif kind == 4:
        del members[place]
    elif kind == 5:
        members.append((dice.choice([name, "seal", "task.buffers", *HOSTILE]), content))
    else:
        other = dice.randrange(len(members))
        members[place], members[other] = (name, members[other][1]), (members[other][0], content)
    stream = io.BytesIO()
    compression = dice.choice((zipfile.ZIP_STORED,) * 9 + (zipfile.ZIP_DEFLATED,))
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", compression) as archive:
        warnings.simplefilter("ignore")
        for member, text in members:
            # zipfile itself writes no lone surrogates.
            archive.writestr(member.encode("ascii", "replace").decode() or "none", text)
    return stream.getvalue()


def members_of(data):
    """Returns the names and the contents of the members of a zip."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist()]
