import io
import json
import zipfile

from hypothesis import given
from hypothesis import strategies as st

from evaluators.runtimes.enclosed import enclosed

NAMES = st.lists(st.text(st.characters()), max_size=4)  # surrogates too, as folders of other encodings have


@given(st.binary(max_size=50), NAMES, st.text())
def test_what_is_enclosed_is_found_from_the_end_and_the_content_from_the_beginning(content, classes, other):
    texts = {"classes": json.dumps(classes), "other": other}
    found = enclosed(content, texts)
    assert found.startswith(content)
    with zipfile.ZipFile(io.BytesIO(found)) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("texts.json")) == texts
        if classes and any(classes):
            assert len(archive.read("labels.txt").decode().split("\n")) == len(classes)


def test_names_of_classes_are_lines_in_the_order_of_the_logits():
    found = enclosed(b"", {"classes": json.dumps(["T-shirt/top", "hát\nče"])})
    assert zipfile.ZipFile(io.BytesIO(found)).read("labels.txt").decode() == "T-shirt/top\nhát če"


def test_without_texts_nothing_is_enclosed():
    assert enclosed(b"model", {}) == b"model"
