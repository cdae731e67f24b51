"""The archive that this process was started from."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Optional

from .. import modules
from ..errors import DistributionError
from . import start, zip_archive
from .selection import Content, main_name


class Running(NamedTuple):
    content: Content
    folder: Optional[Path]  # where it is unpacked, if that is what runs
    path: Optional[Path]  # the zip, if that is what runs

    def is_made_for(
        self,
        named: tuple[str, ...],
        signed_by: Optional[str],
        first_party: bool,
        named_files: tuple[str, ...],
    ) -> bool:
        """Says whether it is what would be made here, so that nothing has to be made."""
        manifest = self.content.manifest
        made_of = [manifest[key] for key in ("modules", "signed_by", "first_party", "files")]
        if made_of != [sorted(named), signed_by, first_party, list(named_files)]:
            return False
        return manifest["main"] in (None, main_name())


def running_archive() -> Optional[Running]:
    """Finds the archive that this process was started from, `None` if it was from none."""
    if not modules.is_far_end:
        return None
    root = Path(start.running_root())
    try:
        if root.is_dir():
            return Running(zip_archive.content_of_folder(root), root, None)
        return Running(zip_archive.content_of_zip(root), None, root)
    except DistributionError:
        return None  # or it is gone
