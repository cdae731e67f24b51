"""How an archive arrives on another machine: only what is lacking there is sent.

```
near ─► what the archive says of itself     far ─► which members are lacking
near ─► these                               far ─► it is in its place
```

This module is imported, and also sent as text, after `unpack`: see `keep`.
"""

if "." in __name__:
    # Else it was sent as text, and it is there.
    from .unpack import Unpacking

# For a type checker. To import it takes longer than most of what is done here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class ArrivingArchive:
    """An archive that arrives in two parts: what it says of itself, and the files that are lacking.

    Both are compressed. A file comes after the length of its name (2 bytes), its size (8) and its
    name. An error is kept until the end of a part, so that what is on its way is read all the same.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._unpacking: Any = None
        self._error: Any = None
        self._begin_part()

    def _begin_part(self) -> None:
        import zlib

        self._inflate = zlib.decompressobj()
        self._data = bytearray()
        self._left: Any = None

    def take(self, piece: bytes) -> None:
        if self._error is not None:
            return
        try:
            self._data += self._inflate.decompress(piece)
            while self._unpacking is not None and self._took_some():
                pass
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._error = error
        self.abandon()

    def abandon(self) -> None:
        unpacking, self._unpacking = self._unpacking, None
        if unpacking is not None:
            unpacking.abandon()

    def _took_some(self) -> bool:
        """Takes what has come of a file, or of what comes before it."""
        if self._left is None:
            length = int.from_bytes(self._data[:2], "big")
            if len(self._data) < 10 + length or len(self._data) < 10:
                return False
            self._left = int.from_bytes(self._data[2:10], "big")
            self._unpacking.begin(bytes(self._data[10 : 10 + length]).decode())
            del self._data[: 10 + length]
        piece = bytes(self._data[: self._left])
        del self._data[: len(piece)]
        self._unpacking.write(piece)
        self._left -= len(piece)
        if self._left:
            return False
        self._left = None
        self._unpacking.end()
        return bool(self._data)

    def end_part(self) -> bytes:
        """Ends a part.

        Returns after the first one a bit for each member, in the order of their names: whether it
        is lacking. After the second one the archive is in its place.
        """
        try:
            if self._error is not None:
                raise self._error
            if self._unpacking is None:
                self._unpacking = Unpacking(self._folder, bytes(self._data))
                self._begin_part()
                return bits_of(self._unpacking._members, self._unpacking.lacking)
            if self._left is not None or self._data:
                raise ValueError("the archive did not arrive whole")
            self._unpacking.finish()
            return b""
        except BaseException:
            self.abandon()
            raise


def bits_of(members: "Any", lacking: "Any") -> bytes:
    """Says which members are lacking."""
    bits = 1
    for name in sorted(members):
        bits = bits << 1 | (name in lacking)
    return bits.to_bytes(bits.bit_length() // 8 + 1, "big")


def named_by(bits: bytes, members: "Any") -> "list[str]":
    """Returns the members that are lacking, see `bits_of`."""
    text = bin(int.from_bytes(bits, "big"))[3:]
    return [name for name, bit in zip(sorted(members), text) if bit == "1"]
