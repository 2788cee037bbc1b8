"""A network as a user names it: a published one, the text of an architecture, or a file with its weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evaluators.machine.files import at_home
from evaluators.networks.checkpoint import load_with_texts
from evaluators.networks.weights import Weights
from search_spaces.architecture import SEPARATOR, Architecture
from search_spaces.zoo import adapted, load_network

WEIGHTS_SUFFIX = ".safetensors"
TEXTS_OF_IMAGES = "classes", "mean", "std", "preprocessing"  # of those that an export writes into its files


@dataclass(frozen=True)
class NamedNetwork:
    """A network that was named.

    Attributes:
        name: what to call it: its name, the id of its text, or the stem of its file.
        architecture: the network as it was published, written or saved.
        arrays: its arrays by name, empty unless it came with some.
        published: whether it comes from the zoo, so that its resolution is no choice of the user's.
        texts: what its file says of its classes and images; they hold as long as it takes such images.
    """

    name: str
    architecture: Architecture
    arrays: Weights = field(default_factory=dict, repr=False)
    published: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)

    def adapted(self, resolution: int | None = None, channels: int | None = None, classes: int | None = None
                ) -> "NamedNetwork":
        """Returns the network put to other data, without the arrays that no longer fit; raises as `zoo.adapted`."""
        architecture = adapted(self.architecture, resolution, channels, classes)
        shapes = architecture.program.arrays
        arrays = {name: array for name, array in self.arrays.items() if array.shape == shapes.get(name)}
        texts = self.texts if architecture == self.architecture else {}
        return NamedNetwork(self.name, architecture, arrays, self.published, texts)


def named_network(what: str) -> NamedNetwork:
    """Returns the network of a name of the zoo, of a text, or of a file that `save_network` wrote.

    Raises:
        InvalidInput: an unknown name, a wrong text, or no such file.
    """
    if what.endswith(WEIGHTS_SUFFIX):
        architecture, arrays, texts = load_with_texts(at_home(what))
        return NamedNetwork(Path(what).stem, architecture, arrays,
                            texts={name: texts[name] for name in TEXTS_OF_IMAGES if name in texts})
    if SEPARATOR in what:
        architecture = Architecture.parse(what)
        return NamedNetwork(architecture.id, architecture)
    return NamedNetwork(what, load_network(what), published=True)
