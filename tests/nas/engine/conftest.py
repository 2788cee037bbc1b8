import pytest

from nas.engine.search import run_search
from nas.run.server import StudyDatabase


@pytest.fixture
def shared(postgresql, make_config, gauge, tmp_path):
    """The URL of a search that has ended on a server."""
    url = postgresql.new_database()
    run_search(make_config(trials=2), tmp_path / "begun", gauge=gauge, elsewhere=StudyDatabase(url, "one"))
    return url
