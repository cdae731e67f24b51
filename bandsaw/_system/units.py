"""Numbers, sizes and time spans as people read them."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """Writes a number of things, as in `2 archives`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def told_size(size: float) -> str:
    """Writes a size as a number of at most four digits and a unit, powers of a thousand."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def told_seconds(seconds: float) -> str:
    """Writes a time span in the unit that fits."""
    seconds = max(0.0, seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    if seconds < 1e-7:
        return "0 s"
    if seconds < 1e-3:
        return f"{seconds * 1000:.2g} ms"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
