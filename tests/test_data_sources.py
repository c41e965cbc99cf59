"""What a result says of the images it was made from: in its stored source, in captions, and in a worker's check."""

import hashlib
from importlib import import_module

import numpy as np
import pytest

from minilop.data import DataError, check_source, fingerprint, handwritten_digits, idx, title_of
from minilop.experiment.results import LearnerResults, ResultSet
from problems import PROBLEMS, permuted_mnist

pytestmark = pytest.mark.quick

UNOFFICIAL = "images that are not the official files of MNIST"


def write_digits(folder, labels=(3, 4)):
    """Training files of this many images in MNIST's form; gives their bytes."""
    images = np.multiply.outer(np.array(labels), np.ones((28, 28))).astype(np.uint8)
    files = {}
    for official, array in (
        (idx.SOURCES["mnist"].images, images),
        (idx.SOURCES["mnist"].labels, np.array(labels, np.uint8)),
    ):
        sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
        files[official.name] = bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
        (folder / official.name).write_bytes(files[official.name])
    return files


def test_a_fingerprint_is_that_of_the_elements_in_their_order():
    """The first twelve digits of the SHA-256 of b"abc" are published with the standard (FIPS 180-2, B.1)."""
    assert fingerprint(np.frombuffer(b"abc", np.uint8)) == "ba7816bf8f01"
    assert fingerprint(np.frombuffer(b"a", np.uint8), np.frombuffer(b"bc", np.uint8)) == "ba7816bf8f01"
    array = np.arange(6).reshape(2, 3)
    assert fingerprint(array) == fingerprint(np.asfortranarray(array)) != fingerprint(array.T)
    assert fingerprint(np.zeros((0, 3))) == "e3b0c44298fc"  # of nothing


def test_sources_of_digits_that_come_with_minilop_are_as_they_were():
    """They are part of result names: finished runs stay finished."""
    settings = permuted_mnist.Settings(digits="handwritten", task_length=10)
    source = permuted_mnist.data_source(settings, None)
    assert title_of(source) == permuted_mnist.digits.DIGITS["handwritten"]
    images, labels = handwritten_digits()
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    assert source.endswith(f": 1,797 images, sha256 {digest[:12]}") and digest.startswith("87ff0c9e40dc")


def test_a_stored_source_says_that_files_are_not_the_official_ones(tmp_path, monkeypatch):
    settings = permuted_mnist.Settings(digits="mnist", task_length=2)
    files = write_digits(tmp_path)
    assert permuted_mnist.data_source(settings, tmp_path).startswith(f"{UNOFFICIAL}: 2 images, sha256 ")
    source = idx.SOURCES["mnist"]
    official = {
        part: getattr(source, part)._replace(md5=idx.md5(files[getattr(source, part).name]))
        for part in ("images", "labels")
    }
    monkeypatch.setitem(idx.SOURCES, "mnist", source._replace(**official))
    assert permuted_mnist.data_source(settings, tmp_path).startswith("MNIST: 2 images, sha256 ")


def test_a_worker_finds_that_the_files_have_changed(tmp_path):
    settings = permuted_mnist.Settings(digits="mnist", task_length=2)
    write_digits(tmp_path)
    of_experiment = permuted_mnist.data_source(settings, tmp_path)
    check_source(of_experiment, permuted_mnist.data_source(settings, tmp_path))
    write_digits(tmp_path, labels=(4, 3))
    with pytest.raises(
        DataError, match=r"^The data have changed since the command started: they were .*, and now they"
    ):
        check_source(of_experiment, permuted_mnist.data_source(settings, tmp_path))


@pytest.mark.parametrize(
    ("problem", "changes", "title"),
    [
        ("permuted_mnist", {"digits": "mnist"}, UNOFFICIAL),
        ("class_incremental_cifar", {"images": "cifar100"}, "images that are not the official files of CIFAR-100"),
        (
            "continual_imagenet",
            {"images": "imagenet32", "halvings": 0},
            "images in the form of ImageNet 32 x 32, not compared with a published checksum",
        ),
    ],
)
def test_a_caption_says_what_the_stored_source_says(problem, changes, title, monkeypatch):
    """Drawn from one learner without a curve: only the words under the figures count here."""
    captions = []
    figures = import_module(f"problems.{problem}.figures")
    settings = type(PROBLEMS[problem].SCALES["paper"].settings)(**changes)
    monkeypatch.setattr(figures, "draw_curves", lambda *arguments, **options: None)
    monkeypatch.setattr(figures, "describe_runs", lambda *arguments: "")
    monkeypatch.setattr(figures, "add_caption", lambda figure, text: captions.append(text))
    for name in ("diagnostics_figure", "_diagnostics_figure", "_draw_binned"):
        if hasattr(figures, name):
            monkeypatch.setattr(figures, name, lambda *arguments, **options: None)
    metadata = [{"data_source": f"{title}: 2 images, sha256 0123456789ab"}]
    results = ResultSet(problem, "paper", settings, {"backprop": LearnerResults({}, metadata)})
    figures.figures(results)
    assert captions and all(title in caption for caption in captions)
