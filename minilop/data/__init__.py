"""The images from which problems learn, as NumPy arrays of unsigned bytes on the host.

The package contains real digits and generates unlimited numbers of digits and of classes of colored objects. It reads
the official files of MNIST, Fashion-MNIST, CIFAR-100 and ImageNet 32 x 32; `python -m minilop.data fetch` downloads all
but the last. The problems themselves scale the bytes to floats and move them to the device.
"""

from minilop.data.cifar100 import identify_cifar100, incremental_split, read_cifar100
from minilop.data.errors import DataError
from minilop.data.fingerprints import check_source, fingerprint, title_of
from minilop.data.handwritten_digits import handwritten_digits
from minilop.data.idx import identify_training_set, read_idx, read_training_set
from minilop.data.imagenet32 import open_store
from minilop.data.synthetic_digits import halve, synthetic_digits
from minilop.data.synthetic_objects import synthetic_objects
from minilop.data.unpickling import unpickle_arrays

__all__ = [
    "DataError",
    "check_source",
    "fingerprint",
    "halve",
    "handwritten_digits",
    "identify_cifar100",
    "identify_training_set",
    "incremental_split",
    "open_store",
    "read_cifar100",
    "read_idx",
    "read_training_set",
    "synthetic_digits",
    "synthetic_objects",
    "title_of",
    "unpickle_arrays",
]
