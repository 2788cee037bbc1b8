"""Artefacts of a run: networks that were trained, and checkpoints of those whose training may go on.

Each is a safetensors file under a name, `weights/ID.safetensors` or `checkpoints/ID.safetensors` with the id of its
architecture. It bears its own hash, appears whole or not at all, and is checked when it is read. Where they are kept is
an artifact store as Optuna has it: files of the run directory, or rows beside the trials in their database, so that
machines without a common file system share them.
"""

import contextlib
import functools
import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from evaluators.machine.files import held, write_whole
from evaluators.networks.checkpoint import require_whole, sealed
from search_spaces.errors import InvalidInput, require

if TYPE_CHECKING:
    import sqlalchemy

WEIGHTS, CHECKPOINTS = "weights", "checkpoints"  # the kinds
SUFFIX = ".safetensors"
TABLE = "paretonas_artefacts"  # beside Optuna's


class Store(Protocol):
    """An artifact store of Optuna's that also tells which artefacts it has."""

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Returns the content of a name to be read; raises Optuna's `ArtifactNotFound`."""
        ...

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Keeps a content under a name, whole or not at all, in place of the one before."""
        ...

    def remove(self, artifact_id: str) -> None:
        """Removes the content of a name; raises Optuna's `ArtifactNotFound`."""
        ...

    def names(self, kind: str) -> list[str]:
        """Returns the names of a kind, in order."""
        ...


@dataclass(frozen=True)
class Artefacts:
    """Artefacts in a store, which are checked."""

    store: Store

    def put(self, name: str, content: bytes) -> None:
        """Keeps a safetensors file, which gets its hash."""
        self.store.write(name, io.BytesIO(sealed(content)))

    def read(self, name: str) -> bytes | None:
        """Returns a file as it is, None where there is none."""
        from optuna.artifacts.exceptions import ArtifactNotFound

        try:
            with self.store.open_reader(name) as file:
                return file.read()
        except ArtifactNotFound:
            return None

    def get(self, name: str) -> bytes | None:
        """Returns a safetensors file as it was kept, None where there is none; raises `InvalidInput` if damaged."""
        content = self.read(name)
        try:
            if content is not None:
                require_whole(content)
        except InvalidInput as error:
            raise InvalidInput(f"'{name}' is damaged: {error}") from None
        return content

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        from optuna.artifacts.exceptions import ArtifactNotFound

        with contextlib.suppress(ArtifactNotFound):  # another worker was faster
            self.store.remove(name)

    def remove_of(self, kind: str, architecture_ids: Collection[str]) -> None:
        """Removes the artefacts of a kind that are of some architectures; others stay."""
        for name in self.store.names(kind):
            if id_in(name) in architecture_ids:
                self.remove(name)


def name_of(kind: str, architecture_id: str) -> str:
    """Returns the name of the artefact of an architecture."""
    return f"{kind}/{architecture_id}{SUFFIX}"


def id_in(name: str) -> str:
    """Returns the id of the architecture that an artefact is of."""
    return name.partition("/")[2].removesuffix(SUFFIX)


@dataclass(frozen=True)
class Files:
    """A store of files in a run directory; no link leads out of it."""

    directory: Path

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Returns the file of a name."""
        from optuna.artifacts.exceptions import ArtifactNotFound

        try:
            return self._place(artifact_id).open("rb")
        except FileNotFoundError:
            raise ArtifactNotFound(artifact_id) from None

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Writes a file."""
        path = self._place(artifact_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content_body.read())

    def remove(self, artifact_id: str) -> None:
        """Removes a file."""
        from optuna.artifacts.exceptions import ArtifactNotFound

        try:
            self._place(artifact_id).unlink()
        except FileNotFoundError:
            raise ArtifactNotFound(artifact_id) from None

    def names(self, kind: str) -> list[str]:
        """Returns the names of the files of a kind."""
        return sorted(f"{kind}/{path.name}" for path in self._place(kind).glob(f"*{SUFFIX}"))

    def _place(self, name: str) -> Path:
        parts = name.split("/")
        require(not {"", ".", ".."} & set(parts), f"an artefact has a plain name, but got '{name}'")
        return held(self.directory, *parts)


@dataclass(frozen=True)
class Rows:
    """A store of rows in the database of a study, in a table of their own that is made when it is first needed.

    Attributes:
        engine: leads to the database.
        study: the number of the study there.
    """

    engine: "sqlalchemy.Engine"
    study: int

    def __post_init__(self) -> None:
        _table().create(self.engine, checkfirst=True)

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Returns the content of a row."""
        import sqlalchemy
        from optuna.artifacts.exceptions import ArtifactNotFound

        with self.engine.connect() as connection:
            found = connection.execute(sqlalchemy.select(_table().c.content).where(*self._of(artifact_id))).scalar()
        if found is None:
            raise ArtifactNotFound(artifact_id)
        return io.BytesIO(found)

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Writes a row."""
        from sqlalchemy.dialects import postgresql, sqlite

        insert: Any = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}[self.engine.dialect.name]
        content = content_body.read()
        row = insert(_table()).values(study=self.study, name=artifact_id, content=content)
        with self.engine.begin() as connection:
            connection.execute(row.on_conflict_do_update(index_elements=["study", "name"], set_={"content": content}))

    def remove(self, artifact_id: str) -> None:
        """Removes a row."""
        from optuna.artifacts.exceptions import ArtifactNotFound

        with self.engine.begin() as connection:
            if not connection.execute(_table().delete().where(*self._of(artifact_id))).rowcount:
                raise ArtifactNotFound(artifact_id)

    def names(self, kind: str) -> list[str]:
        """Returns the names of the rows of a kind."""
        import sqlalchemy

        name = _table().c.name
        of_kind = _table().c.study == self.study, name.startswith(f"{kind}/", autoescape=True)
        with self.engine.connect() as connection:
            return list(connection.execute(sqlalchemy.select(name).where(*of_kind).order_by(name)).scalars())

    def _of(self, name: str) -> tuple[Any, Any]:
        return _table().c.study == self.study, _table().c.name == name


@functools.cache
def _table() -> "sqlalchemy.Table":
    import sqlalchemy as sql

    return sql.Table(TABLE, sql.MetaData(), sql.Column("study", sql.Integer, primary_key=True),
                     sql.Column("name", sql.String(200), primary_key=True),
                     sql.Column("content", sql.LargeBinary, nullable=False))
