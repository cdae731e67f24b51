"""The arguments of the calls of one function: bound, written, and made into ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Optional

from ..identifier import identifier_from_bytes
from .binding import binder
from .canonical import Hook, joined_arguments, write_arguments

_DIGITS = 16


class Arguments:
    """What is known of a function's parameters, read once."""

    __slots__ = ("_function_digest", "bind")

    def __init__(
        self, function: Any, ignore: Sequence[str], function_digest: Callable[[Any], bytes]
    ) -> None:
        # Tells which value each parameter gets; see `bandsaw._identity.binding.binder`.
        self.bind = binder(function, ignore)
        self._function_digest = function_digest

    def write(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        hook: Optional[Hook] = None,
        bulk_hash: Optional[str] = None,
    ) -> dict[str, bytes]:
        bound = self.bind(tuple(args), kwargs)
        return write_arguments(bound, self._function_digest, hook, bulk_hash)

    @staticmethod
    def id_of(written: Mapping[str, bytes]) -> str:
        return identifier_from_bytes(joined_arguments(written))

    @staticmethod
    def digests_of(written: Mapping[str, bytes]) -> dict[str, str]:
        """Makes a short digest of each argument, to see which of them differ between two calls.

        Returns 16 hex digits by the names of the parameters.
        """
        return {name: sha256(form).hexdigest()[:_DIGITS] for name, form in written.items()}
