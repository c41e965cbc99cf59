"""The reader of pickles: everything that the official files need, and nothing by which a pickle could do harm.

The harmful ones are written opcode by opcode, as an attacker would: Python's own `pickle` never writes them.
"""

import gzip
import pickle
import random
import struct
import tracemalloc

import numpy as np
import pytest

from minilop.data import DataError, pickle_machine, pickled_arrays, unpickle_arrays, unpickling
from minilop.data.pickle_machine import LONGEST_STRING, MOST_KEYS
from minilop.data.unpickling import MOST_NESTING, describe, whole_numbers

pytestmark = pytest.mark.quick

RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"


def number(value):
    return b"\x8a" + bytes([len(raw := value.to_bytes(9, "little", signed=True))]) + raw


def text(value):
    return b"U" + bytes([len(value)]) + value


def dtype(code=b"u1", state=b"(K\x03" + b"U\x01|" + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00t"):
    return b"cnumpy\ndtype\n(" + text(code) + b"K\x00K\x01tR" + (state + b"b" if state else b"")


def array(shape, of=None, content=b"\x07", version=b"K\x01"):
    sizes = b"(" + b"".join(number(size) for size in shape) + b"t"
    state = b"(" + version + sizes + (of or dtype()) + b"\x89" + b"T" + struct.pack("<I", len(content)) + content + b"t"
    return RECONSTRUCT + state + b"b"


def complaint(content):
    with pytest.raises(DataError) as caught:
        unpickle_arrays(content, "train")
    sentence = str(caught.value)
    assert sentence.startswith("train ") and "\n" not in sentence and sentence.endswith(".")
    return sentence


def test_an_array_is_its_shape_its_type_and_its_bytes():
    read = unpickle_arrays(array([2, 3], content=bytes([0, 1, 2, 3, 4, 250])) + b".")
    assert read.tolist() == [[0, 1, 2], [3, 4, 250]] and read.dtype == np.uint8


def test_the_byte_order_is_that_of_the_state():
    big = b"(K\x03U\x01>NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00t"
    assert unpickle_arrays(array([2], dtype(b"u2", big), b"\x00\x01\x01\x00") + b".").tolist() == [1, 256]


def test_a_large_array_is_a_view_of_the_pickle_and_may_be_written(tmp_path):
    """No second copy of 400 MB. What comes from a path or a bytearray is the caller's own."""
    content = pickle.dumps(np.zeros(LONGEST_STRING + 1, np.uint8), protocol=4)
    (tmp_path / "file").write_bytes(content)
    for source in (bytearray(content), tmp_path / "file"):
        read = unpickle_arrays(source)
        read[0] = 1
        assert read.sum() == 1
    assert np.shares_memory(unpickle_arrays(buffer := bytearray(content)), np.frombuffer(buffer, np.uint8))


def test_one_array_may_be_held_twice():
    same = np.arange(3)
    read = unpickle_arrays(pickle.dumps({"a": same, "b": same}))
    assert read["a"] is read["b"] and read["b"].tolist() == [0, 1, 2]


HUGE = 3_000_000_000
HARMFUL = {
    # 47 bytes that ended the process: an array of two Python objects, at the addresses that the pickle gives.
    "ndarray called with a type of objects": b"cnumpy\nndarray\n((K\x02tU\x02O8C\x10" + b"\xff" * 16 + b"tR.",
    "ndarray called with strides of 0": b"cnumpy\nndarray\n((J\xff\xff\xff\x7ftU\x02u1C\x01aK\x00(K\x00ttR.",  # 2 GB
    "ndarray called with a type of bytes": b"cnumpy\nndarray\n((K\x02t" + dtype() + b"U\x02abtR.",
    "a type of bytes whose state says size -5": array([2], dtype(b"S1", b"(K\x03U\x01|NNNJ\xfb\xff\xff\xffK\x01K\x00t"))
    + b".",
    "an array of objects": array([1], dtype(b"O8"), b"\xff" * 8) + b".",
    "an array with fields": array([1], dtype(b"V8"), b"\xff" * 8) + b".",
    "a type with a subarray": array([1], dtype(b"u1", b"(K\x03U\x01|(NK\x01tNNJ\xff\xff\xff\xffK\x01K\x00t")) + b".",
    "a type whose state says objects": array([1], dtype(b"u8", b"(K\x03U\x01O" + b"NNN" + b"K\x08K\x08K?t")) + b".",
    "an array of text, which NumPy does not check": array([1], dtype(b"U1"), b"\xff" * 4) + b".",
    "a scalar of text": b"cnumpy.core.multiarray\nscalar\n(" + dtype(b"U1") + b"C\x04\xff\xff\xff\xfftR.",
    "a type of another size": array([2], dtype(b"u2", b"(K\x03U\x01<NNNJ\xff\xff\xff\x7fK\x04K\x08t")) + b".",
    "a type of no size": array([2**40], dtype(b"u0"), b"") + b".",
    "more elements than bytes": array([HUGE]) + b".",
    "sizes whose product overflows": array([2**33, 2**33], content=b"") + b".",
    "a size below zero": array([-1, -1]) + b".",
    "too many dimensions": array([1] * 65) + b".",
    "a state without a type": RECONSTRUCT + b"(K\x01)NN" + b"U\x00tb.",
    "a state of another version": array([1], version=b"K\x02") + b".",
    "a state that is no tuple": RECONSTRUCT + b"]b.",
    "an array that is never completed": RECONSTRUCT + b".",
    "an array that is never completed, in a list": b"]" + RECONSTRUCT + b"a.",
    "a state for a list": b"](K\x01tb.",
    "a call of a number": b"K\x01)R.",
    "a call of a list": b"])R.",
    "a call without arguments": b"cnumpy\ndtype\nNR.",
    "a call with too few arguments": b"cnumpy.core.multiarray\nscalar\n)R.",
    "a scalar of too few bytes": b"cnumpy.core.multiarray\nscalar\n(" + dtype(b"u8") + b"U\x01atR.",
    "a name as a value": b"cnumpy\nndarray\n.",
    "a name in a list": b"]cnumpy\nndarray\na.",
    "a new object": b"cnumpy\nndarray\n)\x81.",
    "an object by its number": b"\x82\x01.",
    "a persistent object": b"P0\n.",
    "a buffer from outside": b"\x97.",
    "an attribute": b"cnumpy.core\nmultiarray.fromfile\n.",
    "a number of 300 digits": b"I" + b"9" * 300 + b"\n.",
    "a number of 2 GB": b"\x8b\xff\xff\xff\x7f\x01.",
    "a number of -1 bytes": b"\x8b\xff\xff\xff\xff\x01.",
    "bytes of 2^63": b"\x8e" + b"\xff" * 8 + b"a.",
    "a text of 4 GB": b"X\xff\xff\xff\xffa.",
    "a text that is no UTF-8": b"X\x01\x00\x00\x00\xff.",
    "a memory without a value": b"q\x00.",
    "a memory of a number below zero": b"K\x01p-1\n.",
    "a value that was never remembered": b"h\x07.",
    "a key that is a list": b"}]K\x01s.",
    "a key that is a tuple": b"}(K\x01tK\x01s.",
    "a key without a value": b"}(K\x01u.",
    "a list of a number": b"K\x01K\x02a.",
    "a tuple of nothing": b"\x87.",
    "a mark as the result": b"(.",
    "a mark in a list": b"](a.",
    "nothing": b".",
}


@pytest.mark.parametrize("content", HARMFUL.values(), ids=HARMFUL)
def test_a_pickle_that_would_do_harm_is_refused_in_a_sentence(content):
    tracemalloc.start()
    try:
        sentence = complaint(content)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
    assert "None of its code was run; get the file again" in sentence or sentence.endswith("; download it again.")


def test_a_list_within_itself_and_lists_in_lists_are_refused():
    """Neither depth nor a circle costs anything to find; what comes after would follow them for ever."""
    assert f"are nested more than {MOST_NESTING} deep" in complaint(b"]q\x00h\x00a.")
    assert f"are nested more than {MOST_NESTING} deep" in complaint(b"]" * 10_000 + b"a" * 9_999 + b".")
    assert f"are nested more than {MOST_NESTING} deep" in complaint(b")" + b"\x85" * 10_000 + b".")
    pairs = b")" + b"q\x00h\x00\x86" * 100 + b"."  # 2^100 paths through 100 tuples
    assert f"are nested more than {MOST_NESTING} deep" in complaint(pairs)
    assert unpickle_arrays(b"]" * MOST_NESTING + b"a" * (MOST_NESTING - 1) + b".") == [[[[[[[[]]]]]]]]


def test_instructions_and_keys_are_bounded(monkeypatch):
    """By two million instructions, here ten thousand; so the memory is, that empty dictionaries or memories take."""
    monkeypatch.setattr(pickle_machine, "MOST_INSTRUCTIONS", 10_000)
    assert "has more than 10,000 instructions" in complaint(b"}" * 10_001)
    assert unpickle_arrays(b"]" + b"N" * 9_997 + b"]" + b".") == []
    assert f"has more than {MOST_KEYS:,} keys" in complaint(b"}(" + b"K\x01K\x01" * (MOST_KEYS + 1) + b"u.")


def test_a_pickle_is_not_read_beyond_the_largest_size(tmp_path, monkeypatch):
    monkeypatch.setattr(unpickling, "MOST_BYTES", 1000)
    (tmp_path / "train").write_bytes(gzip.compress(bytes(10**6)))
    for source in (bytes(1001), bytearray(1001), tmp_path / "train"):
        with pytest.raises(DataError, match="has 1,001 bytes or more, but at most 1,000 are expected; download"):
            unpickle_arrays(source)


def test_bytes_that_are_made_into_arrays_again_and_again_are_counted():
    """Sixty thousand bytes, remembered, and an array of them for every three bytes more: 64 GB for 3 MB."""
    content = b"B" + struct.pack("<I", 60_000) + bytes(60_000)
    arguments = b"(" + content + dtype() + b"(" + number(60_000) + b"tU\x01Ctq\x00"
    again = b"cnumpy.core.numeric\n_frombuffer\nq\x01h\x00R"
    tracemalloc.start()
    try:
        assert "its objects have more bytes than the pickle" in complaint(
            b"(" + arguments + again + b"h\x01h\x00R" * 1000 + b"t."
        )
        text_again = (
            b"X"
            + struct.pack("<I", 60_000)
            + b"a" * 60_000
            + b"U\x06latin1\x86q\x00"
            + b"c_codecs\nencode\nq\x01h\x00R"
        )
        assert "its objects have more bytes than the pickle" in complaint(
            b"(" + text_again + b"h\x01h\x00R" * 1000 + b"t."
        )
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_a_long_text_of_wide_characters_is_no_array():
    """One such character makes every other take four bytes."""
    wide = "a" * LONGEST_STRING + "\u20ac"
    for protocol in (0, 1, 4):
        assert "a string is too long" in complaint(pickle.dumps(wide, protocol))
        assert unpickle_arrays(pickle.dumps(wide[-9:], protocol)) == wide[-9:]
        latin = "a" * LONGEST_STRING + "\u00ff"
        assert unpickle_arrays(pickle.dumps(latin, protocol)) == latin


def test_keys_that_collide_and_numbers_of_the_memory_cost_nothing():
    """All multiples of 2^61 - 1 have the hash 0; a dictionary of a million such keys would take hours."""
    colliding = b"".join(number(i * (2**61 - 1)) + b"K\x01" for i in range(5))
    assert len(unpickle_arrays(b"}(" + colliding + b"u.")) == 5
    assert "its instructions make no sense" in complaint(b"K\x01p" + str(2**61 - 1).encode() + b"\n.")


PIECES = [  # of programs that make more sense than random bytes
    *(
        bytes([code])
        for code in pickle_machine.INSTRUCTIONS
        if chr(code) in "()]}Nabdelstu\x85\x86\x87\x88\x89\x93\x94R"
    ),
    *(f"c{module}\n{name}\n".encode() for module, name in pickled_arrays.NAMES),
    *(dtype(code) for code in (b"u1", b"i8", b"f2", b"b1", b"f16", b"O8", b"U1", b"S3")),
    *(text(word) for word in (b"", b"|", b"<", b"C", b"latin1", b"u1", b"\xff\xfe", b"x" * 200)),
    *(number(value) for value in (0, 1, 2, 3, 8, -1, -512, 2**31, 2**63 - 1, -(2**63))),
    *(b"C" + bytes([size]) + bytes(range(size)) for size in (0, 1, 8, 16)),
    *(b"q" + bytes([key]) for key in range(3)),
    *(b"h" + bytes([key]) for key in range(3)),
    array([1]),
    RECONSTRUCT,
    b"G" + bytes(8),
]


@pytest.mark.parametrize("seed", range(20))
def test_programs_of_random_instructions_are_read_or_refused(seed):
    """A hundred programs a seed, of up to 30 pieces; what is read can be described and looked at."""
    rng = random.Random(seed)
    for _ in range(100):
        try:
            value = unpickle_arrays(b"".join(rng.choices(PIECES, k=rng.randrange(30))) + b".", "train")
        except DataError as refusal:
            assert "\n" not in str(refusal) and str(refusal).endswith(".")
        else:
            assert describe(value) and repr(value)


def test_whole_numbers_are_lists_or_arrays_of_integers():
    assert whole_numbers([1, np.int64(2), True]).tolist() == [1, 2, 1]
    assert whole_numbers(np.array([3], np.uint8)).tolist() == [3]
    for other in ([1.5], ["a"], [[1], [2, 3]], [2**70], np.array([1.5]), 7, None, (1, 2), {"a": 1}):
        assert whole_numbers(other) is None
