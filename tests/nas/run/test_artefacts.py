"""What a run keeps of its networks: the same promises in files and in databases, by Optuna's own functions too."""

import io
import sqlite3

import numpy as np
import optuna
import pytest
import sqlalchemy
from optuna.artifacts import download_artifact, upload_artifact
from optuna.artifacts.exceptions import ArtifactNotFound

from evaluators.networks.checkpoint import arrays_in, checkpoint_file, sealed
from nas.run.artefacts import CHECKPOINTS, TABLE, WEIGHTS, Artefacts, Files, Rows, id_in, name_of
from search_spaces import InvalidInput

ONE, OTHER = (checkpoint_file({"epochs": np.array(epochs)}) for epochs in (1, 2))
NAME = name_of(CHECKPOINTS, "0123")


@pytest.fixture(params=["files", "sqlite", "postgresql"])
def store(request, tmp_path):
    if request.param == "files":
        yield Files(tmp_path)
        return
    url = f"sqlite:///{tmp_path}/study.db" if request.param == "sqlite" else (
        request.getfixturevalue("postgresql").new_database())
    engine = sqlalchemy.create_engine(url)
    yield Rows(engine, 1)
    engine.dispose()


def damaged(store, name):
    """Changes the last byte of a content that is kept."""
    content = store.open_reader(name).read()
    content = content[:-1] + bytes([content[-1] ^ 1])
    if isinstance(store, Files):
        (store.directory / name).write_bytes(content)
    else:
        with store.engine.begin() as connection:
            connection.execute(sqlalchemy.text(f"UPDATE {TABLE} SET content = :content"), {"content": content})


def test_what_is_put_is_got_until_it_is_removed(store):
    artefacts = Artefacts(store)
    assert artefacts.get(NAME) is None
    for content in (ONE, OTHER):
        artefacts.put(NAME, content)
        assert arrays_in(artefacts.get(NAME)) == arrays_in(content)
    artefacts.remove(NAME)
    artefacts.remove(NAME)
    assert artefacts.get(NAME) is None


def test_what_was_damaged_is_refused_in_a_line_that_names_it(store):
    artefacts = Artefacts(store)
    artefacts.put(NAME, ONE)
    damaged(store, NAME)
    with pytest.raises(InvalidInput, match=f"^'{NAME}' is damaged: .* its sha256 is [0-9a-f]+, and should be "):
        artefacts.get(NAME)
    artefacts.put(NAME, ONE)
    assert artefacts.get(NAME) == sealed(ONE)


def test_what_an_earlier_version_has_kept_bears_no_hash_and_is_read(store):
    store.write(NAME, io.BytesIO(ONE))
    assert Artefacts(store).get(NAME) == ONE


def test_artefacts_of_the_named_architectures_are_removed_and_no_others(store):
    artefacts = Artefacts(store)
    for kind in (WEIGHTS, CHECKPOINTS):
        for architecture in ("0123", "4567", "mine"):
            artefacts.put(name_of(kind, architecture), ONE)
    artefacts.remove_of(WEIGHTS, {"0123", "4567", "not there"})
    assert store.names(WEIGHTS) == ["weights/mine.safetensors"]
    assert [id_in(name) for name in store.names(CHECKPOINTS)] == ["0123", "4567", "mine"]


def test_optuna_uploads_to_it_and_downloads_from_it(store, tmp_path):
    (tmp_path / "sent").write_bytes(ONE)
    study = optuna.create_study()
    name = upload_artifact(artifact_store=store, file_path=str(tmp_path / "sent"), study_or_trial=study)
    download_artifact(artifact_store=store, file_path=str(tmp_path / "received"), artifact_id=name)
    assert (tmp_path / "received").read_bytes() == ONE
    store.remove(name)
    for use in (store.open_reader, store.remove):
        with pytest.raises(ArtifactNotFound):
            use(name)


def test_studies_of_one_database_keep_their_own(tmp_path):
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/study.db")
    stores = [Artefacts(Rows(engine, study)) for study in (1, 2)]
    stores[0].put(NAME, ONE)
    assert stores[1].get(NAME) is None and stores[1].store.names(CHECKPOINTS) == []
    engine.dispose()


def test_the_table_lies_beside_those_of_optuna(tmp_path):
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db")
    Artefacts(Rows(storage.engine, 1)).put(NAME, ONE)
    optuna.create_study(storage=storage)
    storage.engine.dispose()
    with sqlite3.connect(tmp_path / "study.db") as database:
        assert {"studies", TABLE} <= {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    assert optuna.get_all_study_names(f"sqlite:///{tmp_path}/study.db")


@pytest.mark.parametrize("name", ["../outside", "weights/../../outside", "/outside", "weights//outside", ""])
def test_no_name_leads_out_of_the_directory(name, tmp_path):
    (tmp_path / "run" / "weights").mkdir(parents=True)
    with pytest.raises(InvalidInput, match="an artefact has a plain name, but got"):
        Artefacts(Files(tmp_path / "run")).put(name, ONE)
    assert not (tmp_path / "outside").exists()


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path, little_room):
    artefacts = Artefacts(Files(tmp_path))
    artefacts.put(NAME, ONE)
    with pytest.raises(OSError, match="File too large"), little_room:
        artefacts.put(NAME, OTHER)
    assert artefacts.get(NAME) == sealed(ONE)
    assert [path.name for path in (tmp_path / CHECKPOINTS).iterdir()] == ["0123.safetensors"]
