"""The place of an export: a new or empty directory, or that of an earlier export, which is replaced whole.

What is replaced is lost, so that it must be known to be an export and nothing else: its certificate can be read, and
all other files are as that says. A damaged one does not tell which files are the user's.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from evaluators.machine.files import STDOUT, followed, require_writable
from nas.export.certificate import CERTIFICATE, digest, digests, moment, read_certificate
from search_spaces.errors import InvalidInput, require


def require_place(directory: Path, sources: Sequence[Path] = ()) -> None:
    """Raises `InvalidInput` for a directory that cannot be written, or holds what an export must not replace.

    Args:
        directory: the place.
        sources: files of networks that the export is made of, which are not to be lost either.
    """
    require(directory not in STDOUT, f"an export goes to a directory, but got '{directory}'")
    require(not directory.exists() or not directory.samefile(Path.cwd()),
            f"an export goes to another directory than the current one, but got '{directory}'")
    for source in sources:
        require(source.resolve().parent != directory.resolve(), "an export does not take the place of a network that "
                f"it is made of, but '{source}' is in '{directory}'; `--out` takes another place")
    path = _foreign(directory)
    require(path is None, "an export goes to a new or empty directory or takes the place of another, where all is as "
            f"an export has written it, but '{path}' is not; `--out` takes another place")
    require_writable(followed(directory).parent, "the place of an export")


def replaced(directory: Path, names: Collection[str]) -> str:
    """Returns the words on the export whose place another one takes, empty where there is none.

    Args:
        directory: the place.
        names: of the files of the new one; others of the earlier one go.
    """
    if not (directory / CERTIFICATE).exists():
        return ""
    earlier = read_certificate(directory)
    gone = ", ".join(name for name in digests(earlier) if name not in names)
    return (f"takes the place of the export of {moment(earlier['timings'][0])} UTC in '{directory}'"
            + (f", which removes its {gone}" if gone else ""))


def _foreign(directory: Path) -> Path | None:
    """Returns the first path in a directory that is not as an export has left it; the directory if it is none."""
    if not directory.exists():
        return None
    if not directory.is_dir():
        return directory
    found = sorted(directory.iterdir())
    if (certificate := directory / CERTIFICATE) not in found:
        return next(iter(found), None)
    try:
        written = digests(read_certificate(directory))
    except InvalidInput:
        return certificate
    return next((path for path in found if path != certificate and not _is_compiled(path)
                 and not (path.name in written and path.is_file() and digest(path) == written[path.name])), None)


def _is_compiled(path: Path) -> bool:
    """Tells whether a path is what Python makes of a source file that is imported."""
    return path.name == "__pycache__" and path.is_dir() and all(each.suffix == ".pyc" for each in path.iterdir())
