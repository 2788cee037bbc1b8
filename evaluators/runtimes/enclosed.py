"""Texts enclosed in model files whose formats have no place for them: a zip archive at the end of the file.

Readers of the format find all that is theirs from the beginning, readers of zip archives from the end. It is where
LiteRT's metadata have the names of classes, and where `unzip -p` and `zipfile` find them.
"""

import io
import json
import zipfile
from collections.abc import Mapping

TEXTS, LABELS = "texts.json", "labels.txt"
BEGINNING_OF_TIME = (1980, 1, 1, 0, 0, 0)  # of zip archives: a file does not tell when it was written


def enclosed(content: bytes, metadata: Mapping[str, str]) -> bytes:
    """Returns a model file with all its texts in `texts.json` and its classes in the lines of `labels.txt`."""
    if not metadata:
        return content
    file = io.BytesIO(content)
    file.seek(len(content))
    texts = {TEXTS: json.dumps(metadata, indent=2)}
    if classes := classes_of(metadata):
        texts[LABELS] = "\n".join(classes)
    with zipfile.ZipFile(file, "a") as archive:
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name, BEGINNING_OF_TIME), text)
    return file.getvalue()


def classes_of(metadata: Mapping[str, str]) -> list[str]:
    """Returns the names of the classes, each on one line, in the order of the logits; none where they are not told.

    What is not Unicode in the name of a folder is a question mark.
    """
    names = (str(name).encode(errors="replace").decode() for name in json.loads(metadata.get("classes", "[]")))
    return [" ".join(name.splitlines()) for name in names]
