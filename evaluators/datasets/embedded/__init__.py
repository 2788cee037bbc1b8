"""The data that come with the package, so that everything runs without a download. README.md tells their origin."""

from dataclasses import replace
from importlib import resources

from evaluators.datasets.dataset import Parts
from evaluators.datasets.npz import read_npz

FASHION_MNIST_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)


def read_fashion_mnist() -> Parts:
    """Returns the first 6,000 training and 2,000 test images of Fashion-MNIST: 28x28, grey, 10 classes.

    Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms", 2017 (arXiv:1708.07747); the names of the classes are those of its table 2.
    """
    with resources.files(__name__).joinpath("fashion_mnist.npz").open("rb") as file:
        return replace(read_npz(file, "fashion-mnist"), classes=FASHION_MNIST_CLASSES)
