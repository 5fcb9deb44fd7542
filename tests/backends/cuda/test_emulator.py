"""The emulator stops a kernel that a GPU may run wrongly without saying so."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import emulated
import pytest

pytestmark = [
    pytest.mark.skipif(not emulated.available(), reason="needs a C++ compiler"),
    pytest.mark.slow,
]

PROGRAM = """
struct Arguments {{
    int* out;
}};
KERNEL(kernel, Arguments, {threads}) {{
    int i = int(threadIdx.x);
    {body}
}}
"""

Run = Callable[[str], tuple[str | None, list[int]]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a kernel body on one block of 64 threads; gives the error, and `out`."""

    def compile_and_launch(body: str, threads: int = 64) -> tuple[str | None, list[int]]:
        source = tmp_path / "kernel.cu"
        source.write_text(PROGRAM.format(body=body, threads=threads))
        library = tmp_path / "kernel.so"
        emulated.compile_library(source, library)
        out = (ctypes.c_int * 64)()
        arguments = ctypes.c_void_p(ctypes.addressof(out))
        launch = ctypes.CDLL(str(library)).launch_kernel
        launch.restype = ctypes.c_char_p
        error = launch(ctypes.byref(arguments), 1, 1)
        return None if error is None else error.decode(), list(out)

    return compile_and_launch


def test_lanes_exchange_and_vote(run: Run):
    error, out = run(
        "unsigned odd = __ballot_sync(0xffffffffu, i % 2 == 1);"
        "p.out[i] = __shfl_xor_sync(0xffffffffu, i, 1) + (odd == 0xaaaaaaaau ? 1000 : 0);"
    )
    assert error is None
    assert out == [1000 + (i ^ 1) for i in range(64)]


def test_threads_meet_at_a_barrier_and_share_memory(run: Run):
    error, out = run(
        "SHARED(int, shared, 64); shared[i] = i; __syncthreads(); p.out[i] = shared[63 - i];"
    )
    assert error is None
    assert out == list(range(63, -1, -1))


def test_a_vote_over_the_block_is_one_for_all(run: Run):
    error, out = run("p.out[i] = __syncthreads_or(i == 50) + 2 * __syncthreads_or(false);")
    assert error is None
    assert out == [1] * 64


def test_what_a_warp_votes_later_does_not_change_the_vote_over_the_block(run: Run):
    error, out = run("p.out[i] = __syncthreads_or(i == 0); __any_sync(0xffffffffu, false);")
    assert error is None
    assert out == [1] * 64


def test_lanes_of_a_warp_share_memory_after_a_vote(run: Run):
    error, out = run(
        "SHARED(int, shared, 64); shared[i] = i; __any_sync(0xffffffffu, true);"
        "p.out[i] = shared[i ^ 1];"
    )
    assert error is None
    assert out == [i ^ 1 for i in range(64)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("if (i == 40) return; __syncthreads();", "thread 40 has exited"),
        ("if (i < 32)\n __syncthreads();\n else\n __syncthreads();", "waits at line"),
        ("if (i == 3) return; p.out[i] = __shfl_xor_sync(0xffffffffu, i, 1);", "has exited"),
        ("if (i != 3) __any_sync(0xffffffffu, true); else __syncthreads();", "at the barrier"),
        ("p.out[i] = __shfl_xor_sync(0x3u, i, 1);", "not in its own mask"),
        ("p.out[i] = i % 32 < 2 ? __shfl_xor_sync(0x3u, i, 2) : 0;", "takes no part"),
        ("SHARED(int, shared, 64); p.out[i] = shared[i];", "read before it was written"),
        ("SHARED(int, shared, 64); shared[i] = i; p.out[i] = shared[i ^ 32];", "shared["),
        ("SHARED(int, shared, 64); shared[i / 2] = i;", "a barrier is missing"),
        (
            "SHARED(int, shared, 64); shared[i] = i; __syncthreads();"
            "p.out[i] = shared[i ^ 1]; shared[i] = 0;",
            "a barrier is missing",
        ),
        ("SHARED(int, shared, 64); shared[i + 1] = i;", "outside its 64 elements"),
    ],
)
def test_what_a_gpu_does_not_allow_stops_with_a_message(run: Run, body: str, message: str):
    error, _ = run(body)
    assert error is not None
    assert message in error


def test_any_count_of_sums_over_a_warp_is_right_and_each_is_with_one_lane(tmp_path: Path):
    source = tmp_path / "kernel.cu"
    source.write_text(SUMS)
    library = tmp_path / "kernel.so"
    emulated.compile_library(source, library)
    found = (ctypes.c_float * (33 * 33))()
    holders = (ctypes.c_int * (33 * 33))()
    arguments = (ctypes.c_void_p * 2)(ctypes.addressof(found), ctypes.addressof(holders))
    launch = ctypes.CDLL(str(library)).launch_kernel
    launch.restype = ctypes.c_char_p
    assert launch(ctypes.byref(arguments), 1, 1) is None
    for count in range(1, 33):
        row = slice(33 * count, 33 * count + count)
        # Number k of lane i is (i + 1) (k + 1).
        assert list(found[row]) == [528 * (k + 1) for k in range(count)], count
        assert list(holders[row]) == [1] * count, count


SUMS = """
#include "device.h"
using namespace gaborsplat;
struct Arguments {
    float* sums;
    int* holders;
};
template <int Count>
void check(const Arguments& p) {
    float numbers[Count];
    for (int k = 0; k < Count; ++k) numbers[k] = float((lane_number() + 1) * (k + 1));
    float total = WarpSums<Count>::add(numbers);
    int owned = WarpSums<Count>::owned_sum();
    if (owned >= 0) {
        p.sums[33 * Count + owned] = total;
        ++p.holders[33 * Count + owned];
    }
    if constexpr (Count > 1) check<Count - 1>(p);
}
KERNEL(kernel, Arguments, 32) { check<32>(p); }
"""
