"""What a fused learner is besides its arithmetic: its state, chunks, threads and limits."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import pytest
import torch

from agents.base import Checkpointable, Inspectable, Learner
from agents.engines import kernel, on_engine, supports
from agents.engines.fused import FusedLearner
from agents.engines.layout import Data
from agents.learner import NetworkLearner
from agents.methods.l2 import L2
from agents.testing import check_agent
from continual_envs.core import Chunk
from tests.agents.helpers import AGENTS, CLASSES, INPUTS, build, examples, float64, problem, same
from tests.agents.test_fused import part, stream
from tests.agents.test_null_settings import NULLS

# Everything that owes something between updates.
OWING: dict[str, dict[str, Any]] = {
    "backprop": {},
    "l2": {"weight_decay": 2.0},
    "shrink-perturb": {"weight_decay": 2.0},
    "continual-backprop": {"utility": "adaptable_contribution"},
    "adam": {},
    "adam+fresh+dropout+shrink-perturb+continual-backprop": {},
    "l2+continual-backprop+layer-norm": {"l2.weight_decay": 2.0},
    "online-norm": {},
    "adam+fresh+dropout+online-norm+continual-backprop": {},
}


def fused(name: str, **settings: Any) -> FusedLearner:
    return FusedLearner(build(name, **settings))


@pytest.mark.parametrize("counted", [False, True])
def test_the_compiled_loop_counts_no_references(counted):
    asked = {"cache": False, "_nrt": True} if counted else {"cache": False}
    compiled = numba.njit(**(kernel.COMPILE | asked))(kernel.absorb.py_func)
    compiled(fused("backprop")._parts.net)
    (code,) = compiled.inspect_llvm().values()
    assert ("NRT_decref" in code) == counted


def test_it_has_the_powers_of_a_learner():
    learner = fused("backprop")
    for power in (Learner, Inspectable, Checkpointable):
        assert isinstance(learner, power)


@pytest.mark.parametrize("batch", [None, 4])
@pytest.mark.parametrize("name", OWING)
def test_chunks_of_any_length_give_the_same_bits(name, batch):
    size, settings = batch or 1, OWING[name]
    chunk = stream(3000 * size)
    said, states = [], []
    for length in (8, 1000, 3000):
        learner = fused(name, batch=batch, **settings)
        spans = range(0, 3000 * size, length * size)
        outputs = [learner.update_many(part(chunk, i, i + length * size)) for i in spans]
        said.append(np.concatenate(outputs))
        states.append(learner.state_dict())
    assert np.array_equal(said[0], said[1]) and np.array_equal(said[0], said[2])
    assert same(states[0], states[1]) and same(states[0], states[2])
    assert np.isfinite(said[0]).all()


@pytest.mark.parametrize("name", OWING)
def test_a_state_taken_in_mid_stream_continues_bit_for_bit(name):
    chunk = stream(2500)
    learner = fused(name, **OWING[name])
    learner.update_many(part(chunk, 0, 1234))
    state = learner.state_dict()
    want = learner.update_many(part(chunk, 1234, 2500))
    restored = fused(name, **OWING[name])
    restored.update_many(part(chunk, 0, 7))
    restored.load_state_dict(state)
    assert same(restored.state_dict(), state)
    assert np.array_equal(restored.update_many(part(chunk, 1234, 2500)), want)
    shown = chunk.examples()[:5]
    assert same(
        vars(restored.inspect(shown, chunk.targets[:5])),
        vars(learner.inspect(shown, chunk.targets[:5])),
    )
    learner.on_task_switch(), restored.on_task_switch()
    assert np.array_equal(learner.predict(shown), restored.predict(shown))


@pytest.mark.parametrize("name", [name for name in AGENTS if not supports(build(name))])
def test_it_keeps_the_contract_of_an_agent(name):
    def factory(
        observation_space: Any, action_space: Any, *, seed: int, device: str = "cpu"
    ) -> FusedLearner:
        from agents import registry
        from tests.agents.helpers import HOT

        hot = {f"{p}.{k}": v for p in name.split("+") for k, v in HOT.get(p, {}).items()}
        settings = registry.canonical(name, hot)
        made = registry.make(name, observation_space, action_space, seed=seed, **settings)
        return FusedLearner(made)

    assert check_agent(factory) == []


@pytest.mark.parametrize("optimizer", [{}, {"momentum": 0.9}, {"optimizer": "adam"}])
def test_null_settings_are_fused_backprop_bit_for_bit(optimizer):
    chunk = stream(200)
    plain = fused("backprop", **optimizer)
    want = plain.update_many(chunk)
    for name, settings in NULLS:
        if supports(build(name)):
            continue  # the engine does not know the method
        learner = fused(name, **settings, **optimizer)
        assert np.array_equal(learner.update_many(chunk), want), name
        assert same(learner.state_dict(), plain.state_dict()) or "code" in settings.values(), name


def test_a_last_batch_may_be_smaller_and_an_update_of_any_size():
    torch_learner, learner = float64(batch=4), FusedLearner(float64(batch=4))
    chunk = stream(10)
    np.testing.assert_allclose(
        learner.update_many(chunk), torch_learner.update_many(chunk), rtol=0, atol=1e-14
    )
    for n in (1, 9, 4):
        x, y = chunk.examples()[:n], chunk.targets[:n]
        np.testing.assert_allclose(
            learner.update(x, y), torch_learner.update(x, y), rtol=0, atol=1e-14
        )
    empty = part(chunk, 0, 0)
    assert learner.update_many(empty).shape == (0, CLASSES)


def test_preparing_changes_nothing():
    learner = fused("dropout")
    before = learner.state_dict()
    learner.prepare(stream(3))
    assert same(learner.state_dict(), before)


def test_learners_in_threads_are_what_they_are_alone():
    names = ["continual-backprop", "shrink-perturb", "adam", "l2"]
    chunk = stream(2000)
    alone = [fused(name).update_many(chunk) for name in names]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: fused(name).update_many(chunk), names))
    assert all(map(np.array_equal, alone, found))


def test_denormals_are_flushed_while_it_computes_in_every_thread():
    small = np.float32(1e-38)

    def flushes() -> bool:
        return bool(small * np.float32(0.1) == 0)

    def decayed() -> tuple[bool, float, bool]:
        """A moment that nothing feeds for so long that it would be denormal."""
        before = flushes()
        learner = fused("backprop", momentum=0.5, **{"step_size": 1e-30})
        learner._parts.momentum.buffer[:] = 2e-38
        learner._parts = learner._parts.__class__(
            **{**vars(learner._parts), "momentum": learner._parts.momentum._replace(patience=99)}
        )
        learner.update(np.zeros((1, INPUTS)), np.zeros(1, dtype=np.int64))
        learner.update(np.zeros((1, INPUTS)), np.zeros(1, dtype=np.int64))
        return before, float(np.abs(learner._parts.momentum.buffer[: 3 * 8]).max()), flushes()

    torch.set_flush_denormal(False)
    here, there = decayed(), []
    thread = threading.Thread(target=lambda: there.append(decayed()))
    thread.start(), thread.join()
    assert here == there[0] == (False, 0.0, False)
    torch.set_flush_denormal(True)
    try:
        assert decayed() == (True, 0.0, True)
    finally:
        torch.set_flush_denormal(False)


class Strange:
    """A method that nobody knows."""

    def before_step(self, batch: Any) -> None:
        """Do nothing."""


REFUSED = {
    "the method Strange": lambda: float64([Strange()]),
    "one L2 only": lambda: float64([L2(), L2()]),
    "too large": lambda: float64([L2(weight_decay=60.0)]),
    "not dict": dict,
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_it_does_not_support_is_refused_in_one_line(why):
    made = REFUSED[why]()
    reason = supports(made)
    assert reason is not None and why in reason and "\n" not in reason
    with pytest.raises(ValueError, match="^engine: 'fused' is not allowed; ") as error:
        on_engine(made, "fused")
    assert why in str(error.value) and "\n" not in str(error.value)
    assert on_engine(made, "auto") == (made, "torch")


def test_other_optimizers_and_devices_are_not_supported():
    learner = float64()
    learner.optimizer = torch.optim.Adagrad(learner.module.parameters())
    assert "Adagrad" in str(supports(learner))
    learner = float64()
    learner.device = torch.device("meta")
    assert "CPU only" in str(supports(learner))


def test_large_decay_is_no_trouble_with_adam():
    assert supports(float64([L2(weight_decay=60.0)], optimizer="adam")) is None


def test_an_engine_is_chosen():
    made = build("backprop")
    assert on_engine(made, "torch") == (made, "torch")
    for engine in ("auto", "fused"):
        learner, name = on_engine(build("backprop"), engine)
        assert isinstance(learner, FusedLearner) and name == "fused"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rows": np.array([0, 5000])}, "rows"),
        ({"rows": np.array([-1, 0])}, "rows"),
        ({"which": np.array([0, 1])}, "which"),
        ({"targets": np.array([0, CLASSES])}, "targets"),
        ({"targets": np.array([-1, 0])}, "targets"),
        ({"targets": np.array([1])}, "targets"),
    ],
)
def test_what_lies_outside_is_not_read(change, field):
    chunk = stream(2)
    learner = fused("backprop")
    before = learner.state_dict()
    with pytest.raises(ValueError, match=f"^{field}: ") as error:
        learner.update_many(Chunk(**{**vars(chunk), **change}))
    assert "\n" not in str(error.value) and same(learner.state_dict(), before)


def test_inputs_of_another_width_are_refused():
    learner = fused("backprop")
    with pytest.raises(ValueError, match=r"^inputs: shape \(1, 3\) is not allowed; give \(n, 7\)"):
        learner.predict(np.zeros((1, 3)))


def test_all_data_has_one_type():
    """Else each kind of array would be compiled for anew: read-only, transposed, strided."""
    chunk, learner = stream(6), fused("backprop")
    frozen = chunk.inputs.copy()
    frozen.flags.writeable = False
    others = [
        chunk,
        Chunk(**{**vars(chunk), "inputs": frozen}),
        Chunk(
            **{
                **vars(stream(12)),
                "rows": stream(12).rows[::2],
                "which": chunk.which,
                "targets": chunk.targets,
            }
        ),
    ]
    for other in others:
        data, _ = learner._read(other)
        assert isinstance(data, Data)
        assert all(array.flags.c_contiguous and not array.flags.writeable for array in data)


def test_a_learner_of_the_torch_engine_is_left_as_it_was():
    chunk = examples(5)
    made = build("backprop")
    FusedLearner(made).update_many(chunk)
    assert same(made.state_dict(), build("backprop").state_dict())
    assert isinstance(made, NetworkLearner) and problem()[1].n == CLASSES
