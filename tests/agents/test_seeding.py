import numpy as np
import pytest
import torch
from scipy import stats

from agents import seeding
from agents.seeding import Purpose, key, splitmix64, uniform

GOLDEN = 0x9E3779B97F4A7C15


def reference(state: int) -> int:
    """Splitmix64 in Python's unbounded integers."""
    mask = (1 << 64) - 1
    z = (state + GOLDEN) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def unsigned(value: torch.Tensor) -> list[int]:
    return [int(v) % (1 << 64) for v in value.reshape(-1)]


def test_a_generator_goes_on_where_it_was_left_and_on_no_other_kind_of_device():
    one, other = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
    torch.rand(3, generator=one)
    seeding.restore(other, one.get_state())
    assert torch.equal(torch.rand(5, generator=one), torch.rand(5, generator=other))
    of_cuda = torch.zeros(16, dtype=torch.uint8)  # a seed and an offset
    with pytest.raises(ValueError, match="^device: cpu is not allowed; ") as error:
        seeding.restore(one, of_cuda)
    assert "\n" not in str(error.value)


def test_splitmix64_gives_the_published_sequence_of_state_0():
    states = torch.tensor([signed(i * GOLDEN % (1 << 64)) for i in range(3)])
    known = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert unsigned(splitmix64(states)) == known


def test_splitmix64_equals_unbounded_integers_at_the_edges_of_int64():
    states = [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, GOLDEN, 0xDEADBEEF]
    found = splitmix64(torch.tensor([signed(state) for state in states]))
    assert unsigned(found) == [reference(state) for state in states]


def test_uniform_is_the_documented_chain_of_hashes():
    seed, counters = key(3, Purpose.METHOD), (2, 70_000)
    state = int(seed) % (1 << 64)
    for counter in counters:
        state = reference(state + counter)
    expected = [(reference(reference(state) + i) >> 11) * 2.0**-53 for i in range(5)]
    assert uniform(seed, counters, (5,)).tolist() == expected


def test_uniform_is_uniform_and_uncorrelated():
    drawn = uniform(key(0, Purpose.METHOD), (0, 0), (200, 500)).numpy()
    flat = drawn.reshape(-1)
    n = flat.size
    assert 0 <= flat.min() and flat.max() < 1
    assert abs(flat.mean() - 0.5) < 4 * np.sqrt(1 / 12 / n)
    assert abs(flat.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / n)
    assert stats.kstest(flat, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(flat[:-1], flat[1:])[0, 1]) < 4 / np.sqrt(n)


@pytest.mark.parametrize("axis", ["update", "layer", "seed"])
def test_neighbouring_counters_and_keys_give_independent_draws(axis):
    def draw(i: int) -> torch.Tensor:
        seed = key(i if axis == "seed" else 0, Purpose.METHOD)
        counters = (i if axis == "layer" else 0, i if axis == "update" else 0)
        return uniform(seed, counters, (4,))

    drawn = torch.stack([draw(i) for i in range(2000)]).numpy()
    assert len(np.unique(drawn)) == drawn.size
    assert stats.kstest(drawn[:, 0], "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 4 / np.sqrt(2000)


def test_order_of_counters_matters():
    seed = key(0, Purpose.METHOD)
    assert not torch.equal(uniform(seed, (1, 2), (3,)), uniform(seed, (2, 1), (3,)))


@pytest.mark.parametrize("shape", [(), (3,), (2, 5), (0,)])
def test_keys_with_leading_axes_equal_one_call_a_key(shape):
    keys = torch.stack([key(seed, Purpose.METHOD) for seed in range(6)]).reshape(2, 3)
    drawn = uniform(keys, (1, 9), shape)
    assert drawn.shape == (2, 3, *shape) and drawn.dtype == torch.float64
    for row in range(2):
        for column in range(3):
            alone = uniform(keys[row, column], (1, 9), shape)
            assert alone.shape == shape and torch.equal(drawn[row, column], alone)


def test_counters_may_be_one_a_member():
    keys = torch.stack([key(seed, Purpose.METHOD) for seed in range(2)])
    drawn = uniform(keys, (torch.tensor([5, 8]),), (3,))
    assert torch.equal(drawn[1], uniform(keys[1], (8,), (3,)))


def test_keys_and_generators_are_pure_functions_of_seed_and_path():
    paths = [(0, Purpose.INIT), (0, Purpose.METHOD), (1, Purpose.INIT), (0, Purpose.INIT, 1)]
    assert len({int(key(*path)) for path in paths}) == len(paths)
    firsts = {torch.rand(1, generator=seeding.generator(*path)).item() for path in paths}
    assert len(firsts) == len(paths)
    assert torch.equal(key(5, 1), key(5, 1)) and key(5, 1).dtype == torch.int64
    first, second = (seeding.generator(5, Purpose.DROPOUT) for _ in range(2))
    assert torch.equal(torch.rand(4, generator=first), torch.rand(4, generator=second))


def test_purposes_keep_their_numbers_and_share_none():
    assert [int(one) for one in Purpose.__members__.values()] == list(range(9))
