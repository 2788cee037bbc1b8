"""Published data: small tables in `tests/data`, larger ones beside the repository."""

from pathlib import Path

import pytest

PLACES = (Path(__file__).parent / "data", Path(__file__).parents[1] / "../shared/data")


@pytest.fixture(scope="session")
def published():
    """Returns the path of a published file: `published(folder, name)`; skips the test where it is not here."""
    def find(folder: str, name: str) -> Path:
        for place in PLACES:
            if (place / folder / name).is_file():
                return place / folder / name
        pytest.skip(f"{folder}/{name} is not beside the repository, in ../shared/data")
    return find
