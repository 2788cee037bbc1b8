"""The ready spaces by name, and those of files. A new one is one file and one line here."""

import os
from pathlib import Path

from search_spaces.documents import read_toml, refused
from search_spaces.errors import InvalidInput, unknown
from search_spaces.ready.documented import DOCUMENTED
from search_spaces.ready.families import (
    DENSENET,
    EFFICIENTNET,
    INCEPTION,
    MOBILENET_V1,
    MOBILENET_V2,
    MOBILENET_V3,
    MOBILENEXT,
    RESNET,
    SHUFFLENET_V2,
    SQUEEZENET,
)
from search_spaces.ready.fitted import FITTED, Fitted
from search_spaces.ready.mobile import MOBILE, MOBILE_CELL
from search_spaces.ready.mobile_224 import MOBILE_224
from search_spaces.space import Space

SPACES: dict[str, Space | Fitted] = {
    "fitted": FITTED,
    "mobile": MOBILE,
    "mobile-cell": MOBILE_CELL,
    "mobile-224": MOBILE_224,
    "documented": DOCUMENTED,
    "mobilenet-v1": MOBILENET_V1,
    "mobilenet-v2": MOBILENET_V2,
    "mobilenet-v3": MOBILENET_V3,
    "mobilenext": MOBILENEXT,
    "shufflenet-v2": SHUFFLENET_V2,
    "efficientnet": EFFICIENTNET,
    "squeezenet": SQUEEZENET,
    "resnet": RESNET,
    "densenet": DENSENET,
    "inception": INCEPTION,
}


def load_space(name: str) -> Space | Fitted:
    """Returns a ready space by its name, or the space of a TOML file.

    The file has the key `stages`, a list of the text of each stage, and may have `input` and `scale`.

    Raises:
        InvalidInput: unknown name, unreadable file, unknown keys or wrong text; names the file.
    """
    if name in SPACES:
        return SPACES[name]
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - that of `Path` raises where nobody has that home
    if path.suffix != ".toml":
        raise unknown("space", name, [*SPACES, "FILE.toml"])
    with refused(f"a space file must be readable TOML, but got '{name}'"):
        keys = read_toml(path)
    for key in keys:
        if key not in ("scale", "input", "stages"):
            raise unknown(f"key in '{name}'", key, ["scale", "input", "stages"])
    stages = keys.get("stages")
    if not isinstance(stages, list) or not all(isinstance(stage, str) for stage in stages):
        raise InvalidInput(f"`stages` must be a list of texts, but got {stages!r} in '{name}'")
    for key in ("scale", "input"):
        if not isinstance(keys.get(key, ""), str):
            raise InvalidInput(f"`{key}` must be a text, but got {keys[key]!r} in '{name}'")
    scale = [keys["scale"]] if "scale" in keys else []
    try:
        return Space.parse("+".join([*scale, keys.get("input", "in"), *stages]))
    except InvalidInput as error:
        raise InvalidInput(f"{error} ({name})") from None
