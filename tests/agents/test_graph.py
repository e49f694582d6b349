"""The graph engine follows the torch engine; all but the capture itself is tested without CUDA."""

import functools
import gc
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from agents.base import Checkpointable, Inspectable, Learner
from agents.engines import on_engine, support
from agents.engines.captured import CapturedUpdate, _uncollected
from agents.engines.feed import shown
from agents.engines.graph import GraphLearner, Member
from agents.learner import NetworkLearner
from agents.methods.continual_backprop import ContinualBackprop
from agents.methods.dropout import Dropout
from agents.methods.fresh import Fresh
from agents.methods.l2 import L2
from agents.methods.l2_init import L2Init
from agents.methods.layer_norm import LayerNorm
from agents.methods.shrink_perturb import ShrinkPerturb
from agents.methods.utility import Utility
from agents.methods.weight_clipping import WeightClipping
from agents.networks.parts import ACTIVATIONS
from agents.testing import check_agent
from continual_envs.core import Chunk
from continual_envs.transforms import Identity, Scale
from tests.agents import pictures
from tests.agents.helpers import INPUTS, build, float64, problem, same
from tests.agents.tape import OneDevice, Tape
from tests.agents.test_fused import OPTIMIZERS, part, stream

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
CUDA = pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])
SEEDS = (3, 0, 11, 7, 5)
HOT: dict[str, Any] = {"replacement_rate": 0.05, "maturity": 3}


def replacing(**settings: Any) -> list[Any]:
    return [ContinualBackprop(**{**HOT, **settings})]


METHODS: dict[str, Any] = {
    "plain": list,
    "l2": lambda: [L2(weight_decay=0.1)],
    "l2-init": lambda: [L2Init(weight_decay=0.1), WeightClipping(kappa=0.5)],
    "layer-norm": lambda: [LayerNorm()],
    "continual-backprop": replacing,
    "continual-backprop, code": lambda: [
        *replacing(profile="code", utility="adaptable_contribution", transfer_bias=True),
        LayerNorm(),
        L2(weight_decay=0.01),
    ],
    "continual-backprop, bernoulli": functools.partial(replacing, replacement="bernoulli"),
}
NOISY: dict[str, Any] = {
    "dropout": lambda: [Dropout(dropout_rate=0.3)],
    "shrink-perturb": lambda: [ShrinkPerturb(weight_decay=0.01, noise_std=0.01)],
    "all": lambda: [Dropout(dropout_rate=0.1), *replacing(), ShrinkPerturb(noise_std=0.01)],
}
# Every method and every optimizer in one pair or another.
PAIRS = [
    ("plain", "sgd"),
    ("l2", "momentum"),
    ("l2-init", "momentum"),
    ("layer-norm", "adam"),
    ("continual-backprop", "sgd"),
    ("continual-backprop, code", "adam"),
    ("continual-backprop, bernoulli", "momentum"),
]


@pytest.fixture(params=["in turn", "recorded", CUDA])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How updates are made: in turn, recorded as on a GPU but by a tape, or really captured."""
    if request.param == "recorded":
        init = CapturedUpdate.__init__

        def recorded(self: CapturedUpdate, learners: Any) -> None:
            init(self, learners)
            self.records = True

        monkeypatch.setattr(CapturedUpdate, "__init__", recorded)
        monkeypatch.setattr(
            CapturedUpdate, "_record", lambda self: Tape(lambda: self._step(self._batch))
        )
    return "cuda" if request.param == "cuda" else "cpu"


def follow(
    make_methods: Any = list,
    updates: int = 1000,
    kind: str = "classes",
    batch: int | None = None,
    device: str = "cpu",
    seeds: tuple[int, ...] = (0,),
    **settings: Any,
) -> tuple[list[NetworkLearner], GraphLearner]:
    """Train both engines in double precision in two chunks: outputs and parameters to 1e-12."""
    settings = {"device": device, **settings}
    alone = [float64(make_methods(), kind, batch, seed=seed, **settings) for seed in seeds]
    graph = GraphLearner(
        [float64(make_methods(), kind, batch, seed=seed, **settings) for seed in seeds]
    )
    chunks = [stream(updates * (batch or 1), kind, seed) for seed in seeds]
    middle = updates // 3 * (batch or 1)
    for start, end in ((0, middle), (middle, updates * (batch or 1))):
        parts = [part(chunk, start, end) for chunk in chunks]
        got = graph.update_many(parts)
        for learner, own, outputs in zip(alone, parts, got, strict=True):
            want = learner.update_many(own)
            assert outputs.dtype == np.float64 and outputs.shape == want.shape
            np.testing.assert_allclose(outputs, want, rtol=0, atol=1e-12)
    probe = chunks[0].examples()[:4], chunks[0].targets[:4]
    for member, learner in zip(graph.members, alone, strict=True):
        alike(member.inspect(*probe).parameters, learner.inspect(*probe).parameters)
        same_units(member.learner, learner)
    return alone, graph


def alike(got: Any, want: Any, tolerance: float = 1e-12) -> None:
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


def same_units(one: NetworkLearner, other: NetworkLearner, least: int = 3) -> None:
    """The same units were replaced, at the same moments."""
    for mine, theirs in zip(one.methods, other.methods, strict=True):
        if isinstance(mine, ContinualBackprop):
            assert int(mine._updates) == int(theirs._updates)
            for unit, its in zip(mine._units, theirs._units, strict=True):
                assert its.replaced >= least
                for name in ("age", "eligible", "replaced"):
                    assert torch.equal(getattr(unit, name), getattr(its, name)), name


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize(("methods", "optimizer"), PAIRS[:-1])
def test_one_network_follows_the_torch_engine(methods, optimizer, device):
    follow(METHODS[methods], device=device, **OPTIMIZERS[optimizer])


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_so_it_does_with_every_activation(activation, device):
    follow(replacing, 200, device=device, activation=activation)


@pytest.mark.parametrize(
    ("methods", "optimizer"), [*PAIRS, *((noisy, "momentum") for noisy in NOISY)]
)
def test_an_update_can_be_repeated_as_it_is(methods, optimizer, way):
    """Whatever Python would decide or count differently the next time shows here."""
    make = (METHODS | NOISY)[methods]
    follow(make, 30, batch=3, device=way, **OPTIMIZERS[optimizer])


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize(("methods", "optimizer"), PAIRS[:-1])
def test_members_follow_single_networks(methods, optimizer, device):
    follow(METHODS[methods], 200, device=device, seeds=SEEDS, **OPTIMIZERS[optimizer])


@pytest.mark.parametrize(("methods", "optimizer"), PAIRS)
def test_so_do_members_whose_update_is_repeated(methods, optimizer, way):
    follow(METHODS[methods], 30, device=way, seeds=SEEDS[:3], **OPTIMIZERS[optimizer])


@pytest.mark.parametrize("seeds", [(0,), SEEDS], ids=len)
def test_values_are_learned_too(seeds, way):
    follow(replacing, 45, "values", 4, way, seeds, **OPTIMIZERS["adam"])


def picture_learner(
    network: str, methods: Any, device: str, seed: int = 0, **settings: Any
) -> NetworkLearner:
    return pictures.learner(network, methods(), seed=seed, device=device, **settings)


def pixels(network: str, n: int, seed: int = 0) -> Chunk:
    """Images as a problem of pairs declares them."""
    chunk = pictures.images(network, n, seed)
    grey = np.random.default_rng([seed, 1]).integers(0, 256, chunk.inputs.shape, dtype=np.uint8)
    return replace(chunk, inputs=grey, transforms=(Scale(),))


# Every method, every optimizer, one network and several.
PICTURES = [
    ("plain", "momentum", (0,)),
    ("continual-backprop", "sgd", (0,)),
    ("continual-backprop, code", "adam", (0,)),
    ("continual-backprop, code", "momentum", (3, 0)),
    ("l2", "adam", (3, 0)),
    ("all", "momentum", (0,)),
]


@pytest.mark.parametrize("network", ["convnet", "small_cnn", "mlp"])
@pytest.mark.parametrize(("methods", "optimizer", "seeds"), PICTURES)
def test_networks_on_images_follow_too(network, methods, optimizer, seeds, way):
    make = functools.partial(
        picture_learner, network, (METHODS | NOISY)[methods], way, **OPTIMIZERS[optimizer]
    )
    alone, graph = [make(seed=s) for s in seeds], GraphLearner([make(seed=s) for s in seeds])
    chunks = [pixels(network, 90, seed) for seed in seeds]
    for start, end in ((0, 30), (30, 90)):
        parts = [part(chunk, start, end) for chunk in chunks]
        want = [one.update_many(own) for one, own in zip(alone, parts, strict=True)]
        alike(graph.update_many(parts), want, 1e-11)
    for member, learner in zip(graph.members, alone, strict=True):
        probe = chunks[0].examples()[:5], chunks[0].targets[:5]
        alike(member.inspect(*probe).parameters, learner.inspect(*probe).parameters, 1e-11)
        same_units(member.learner, learner, least=1)


@pytest.mark.parametrize("seeds", [(0,), (2, 1)], ids=len)
def test_a_head_is_zeroed_where_it_lies(seeds, way):
    make = functools.partial(picture_learner, "small_cnn", list, way, momentum=0.9)
    alone, graph = [make(seed=s) for s in seeds], GraphLearner([make(seed=s) for s in seeds])
    recordings = set()
    for task in range(3):
        told = {"epoch": 0, "zero_head": True}
        graph.on_privileges(told)
        for learner in alone:
            learner.on_privileges(told)
        chunks = [pixels("small_cnn", 15, 10 * task + seed) for seed in seeds]
        got = graph.update_many(chunks)
        assert not np.any([outputs[:3] for outputs in got])
        alike(got, [one.update_many(own) for one, own in zip(alone, chunks, strict=True)])
        graph.on_privileges({"epoch": 1, "zero_head": False})
        recordings.add(id(graph._update._recording))
    assert len(recordings) == 1


@pytest.mark.parametrize("way", ["cpu", CUDA])
@pytest.mark.parametrize("utility", get_args(Utility))
def test_every_utility(utility, way):
    make = functools.partial(replacing, utility=utility, transfer_bias=True)
    follow(make, 40, device=way, seeds=(4, 9), **OPTIMIZERS["adam"])


def single(device: str, seed: int, **settings: Any) -> NetworkLearner:
    own = {"hidden": (8, 6), **settings}
    return NetworkLearner(*problem(), seed=seed, device=device, methods=replacing(), **own)


@pytest.mark.parametrize("way", ["cpu", CUDA])
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_members_follow_in_single_precision(optimizer, way):
    settings = {**OPTIMIZERS[optimizer], "step_size": 0.001}
    graph = GraphLearner([single(way, seed, **settings) for seed in SEEDS])
    chunks = [stream(200, seed=seed) for seed in SEEDS]
    alone = [single(way, seed, **settings) for seed in SEEDS]
    want = [one.update_many(chunk) for one, chunk in zip(alone, chunks, strict=True)]
    alike(graph.update_many(chunks), want, 1e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("seeds", [(0,), (2, 1)], ids=len)
def test_restarts_leave_everything_in_its_place(seeds, optimizer, way):
    def make(seed: int) -> NetworkLearner:
        methods = [Fresh(), *replacing(profile="code", replacement_rate=0.05, maturity=3)]
        return float64(methods, seed=seed, device=way, **OPTIMIZERS[optimizer])

    alone, graph = [make(seed) for seed in seeds], GraphLearner([make(seed) for seed in seeds])
    assert graph.needs_boundary
    recordings = set()
    for task in range(3):
        chunks = [stream(12, seed=10 * task + seed) for seed in seeds]
        got = graph.update_many(chunks)
        alike(got, [one.update_many(own) for one, own in zip(alone, chunks, strict=True)])
        recordings.add(id(graph._update._recording))
        graph.on_task_switch()
        for learner in alone:
            learner.on_task_switch()
    assert len(recordings) == 1
    for member, learner in zip(graph.members, alone, strict=True):
        shown = chunks[0].examples()[:1]
        alike(member.predict(shown), learner.predict(shown))
        same_units(member.learner, learner, least=0)


def captured(
    methods: Any,
    members: int = 1,
    device: str = "cpu",
    network: str = "mlp",
    **settings: Any,
) -> CapturedUpdate:
    """An update that has examples to make it on; on "meta" there are shapes, but no values."""
    if network == "mlp":
        learners = [float64(methods(), batch=3, seed=seed, **settings) for seed in range(members)]
        chunk = shown(stream(30), INPUTS)
    else:
        learners = [
            picture_learner(network, methods, "cpu", seed, **settings) for seed in range(members)
        ]
        chunk = shown(pixels(network, 30), learners[0].module.spec.inputs)
    for learner in learners:
        learner.device = torch.device(device)
        learner.module.to(device)
        learner._initialise()
    update = CapturedUpdate(learners)
    update.feed.load([chunk] * members)
    return update


@pytest.mark.parametrize("network", ["mlp", "convnet"])
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("methods", [*METHODS, *NOISY])
def test_the_host_looks_at_no_value(methods, optimizer, network):
    for members in (1, 2) if methods in METHODS else (1,):
        update = captured(
            (METHODS | NOISY)[methods], members, network=network, **OPTIMIZERS[optimizer]
        )
        with FakeTensorMode(allow_non_fake_inputs=True):
            update._step(3)


class Looks:
    """A method that asks for a value."""

    def after_step(self, batch: Any) -> None:
        if batch.loss.sum() > 1e9:
            raise OverflowError


def test_a_look_at_a_value_would_be_seen():
    update = captured(list)
    update._after.append(Looks().after_step)
    with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises(DataDependentOutputException):
        update._step(3)
    update = captured(replacing)
    update.stack.methods[0]._network.captured = False  # exits early where nothing is due
    with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises(DataDependentOutputException):
        update._step(3)


class Counts:
    """A method that counts in Python."""

    def __init__(self) -> None:
        self.updates = 0

    def after_step(self, batch: Any) -> None:
        self.updates += 1
        batch.outputs.fill_(self.updates)


def test_a_count_in_python_would_be_seen():
    update = captured(list)
    update._after.append(Counts().after_step)
    tape = Tape(lambda: update._step(3))
    for _ in range(3):
        tape.replay()
    assert update.feed.answers(9)[0, :, 0].tolist() == [1.0] * 9


@pytest.mark.parametrize("network", ["mlp", "small_cnn"])
@pytest.mark.parametrize("methods", [*METHODS, *NOISY])
def test_an_update_stays_on_its_device(methods, network, monkeypatch):
    monkeypatch.delattr(ContinualBackprop, "load_state_dict")  # there is nothing to load from
    for members in (1, 2) if methods in METHODS else (1,):
        update = captured((METHODS | NOISY)[methods], members, "meta", network, momentum=0.9)
        with OneDevice("meta"):
            update._step(3)
        update._after.append(lambda batch: batch.loss + torch.ones(()))
        with OneDevice("meta"), pytest.raises(AssertionError, match="works on {'cpu'}"):
            update._step(3)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("methods", [m for m in METHODS if m.startswith("continual")])
def test_without_the_early_exit_every_bit_is_the_same(methods, optimizer):
    settings = {"batch": 3, **OPTIMIZERS[optimizer]}
    eager, masked = (float64(METHODS[methods](), **settings) for _ in range(2))
    for method in masked.methods:
        if isinstance(method, ContinualBackprop):
            method._network.captured = True
    chunk = stream(150)
    assert np.array_equal(eager.update_many(chunk), masked.update_many(chunk))
    assert same(eager.state_dict(), masked.state_dict())
    same_units(masked, eager)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_checkpoint_is_the_torch_engines_and_goes_on_in_any_company(optimizer, way):
    def make(seed: int) -> NetworkLearner:
        return float64(METHODS["continual-backprop, code"](), seed=seed, device=way, **settings)

    settings = OPTIMIZERS[optimizer]
    chunks = [stream(60, seed=seed) for seed in SEEDS]
    halves = [[part(c, i, i + 30) for c in chunks] for i in (0, 30)]
    graph = GraphLearner([make(seed) for seed in SEEDS])
    graph.update_many(halves[0])
    states = [member.state_dict() for member in graph.members]
    want = graph.update_many(halves[1])
    torch_learner = make(SEEDS[0])
    torch_learner.update_many(halves[0][0])
    assert shape(states[0]) == shape(torch_learner.state_dict())
    for group in ((0,), (3, 1), (4, 2)):
        members = GraphLearner([make(SEEDS[i]) for i in group]).members
        for member, i in zip(members, group, strict=True):
            member.load_state_dict(states[i])
        got = members[0].whole.update_many([halves[1][i] for i in group])
        alike(got, [want[i] for i in group])
    torch_learner.load_state_dict(states[0])
    alike(torch_learner.update_many(halves[1][0]), want[0])
    running = graph.members[0]  # a state is taken in place of the one it has come to
    graph = GraphLearner([make(SEEDS[0])])
    (running,) = graph.members
    running.update_many(part(chunks[0], 0, 9))
    running.load_state_dict(states[0])
    alike(running.update_many(halves[1][0]), want[0])


def shape(state: Any) -> Any:
    """What kinds of things a state has where."""
    if isinstance(state, dict):
        return {key: shape(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [shape(value) for value in state]
    if isinstance(state, torch.Tensor):
        return state.dtype, tuple(state.shape), state.device
    return type(state)


@pytest.mark.parametrize("name", ["adam+fresh+dropout+shrink-perturb+l2"])
def test_a_member_keeps_the_contract_of_an_agent(name):
    def factory(
        observation_space: Any, action_space: Any, *, seed: int, device: str = "cpu"
    ) -> Any:
        from agents import registry

        sizes = {"hidden": (8,)}
        made = registry.make(name, observation_space, action_space, seed=seed, **sizes)
        return GraphLearner([made]).members[0]

    assert check_agent(factory) == []
    member = GraphLearner([build(name)]).members[0]
    for power in (Learner, Inspectable, Checkpointable):
        assert isinstance(member, power)


def test_examples_are_read_alike_in_every_form(way):
    """By index from grey levels, of any transform, in single precision, or one at a time."""
    chunk, rows = stream(30), np.arange(30)
    examples = chunk.examples()
    two = Chunk(  # which may span tasks
        np.concatenate([chunk.inputs, chunk.inputs[::-1]]),
        np.concatenate([chunk.rows[:15], 1999 - chunk.rows[15:]]),
        (chunk.transforms[0], chunk.transforms[0]),
        np.repeat([0, 1], 15),
        chunk.targets,
    )
    forms = [
        chunk,
        two,
        Chunk(examples, rows, (Identity(),), 0 * rows, chunk.targets),
        Chunk(
            chunk.inputs, chunk.rows, (lambda x: chunk.transforms[0](x),), 0 * rows, chunk.targets
        ),
    ]
    make = functools.partial(single, way, 0, step_size=0.001)
    want = make().update_many(chunk)
    for form in forms:
        alike(GraphLearner([make()]).members[0].update_many(form), want, 1e-6)
    learner = GraphLearner([make()]).members[0]
    for form in (*forms, *forms):  # one after the other, too
        assert np.isfinite(learner.update_many(form)).all()
    learner = GraphLearner([make()]).members[0]
    for t in range(30):
        x, y = examples[t : t + 1], chunk.targets[t : t + 1]
        said = learner.predict(x)
        alike(learner.update(x, y), said, 1e-6)
        alike(said, want[t : t + 1], 1e-6)


def test_chunks_of_any_length_and_a_smaller_last_batch(way, monkeypatch):
    monkeypatch.setattr("agents.engines.feed.CAPACITY", 8)
    make = functools.partial(float64, replacing(), batch=4, device=way)
    whole, chunk = make(), stream(50)
    want = whole.update_many(chunk)
    graph = GraphLearner([float64(replacing(), batch=4, device=way)]).members[0]
    got = [graph.update_many(part(chunk, 0, 0))]
    got += [graph.update_many(part(chunk, i, j)) for i, j in ((0, 4), (4, 36), (36, 50))]
    alike(np.concatenate(got), want)
    with pytest.raises(ValueError, match="^inputs: 9 examples at once is not allowed; at most 8$"):
        graph.update(chunk.examples()[:9], chunk.targets[:9])


def test_inputs_are_brought_once():
    graph = GraphLearner([float64(seed=seed) for seed in (0, 1)])
    chunk = stream(40)
    graph.update_many([part(chunk, 0, 20), part(chunk, 0, 20)])
    feed = graph._update.feed
    assert feed._inputs.dtype == torch.uint8 and len(feed._inputs) == len(chunk.inputs)
    feed._inputs += 1  # where it was brought again, this would be undone
    before = feed._inputs.clone()
    graph.update_many([part(chunk, 20, 40), part(chunk, 20, 40)])
    assert feed._inputs is graph._update.feed._inputs and torch.equal(feed._inputs, before)


def test_an_array_that_is_filled_again_is_read_again(way):
    graph, learner = GraphLearner([float64(device=way)]).members[0], float64(device=way)
    chunk = stream(20)
    held = np.empty_like(chunk.examples()[:1])
    for x, y in zip(chunk.examples(), chunk.targets, strict=True):
        held[:] = x
        alike(graph.update(held, y[None]), learner.update(x[None], y[None]))


REFUSED: dict[str, Any] = {
    "CUDA device only, not on cpu": float64,
    "without batch normalisation only, not dict": dict,
    "without batch normalisation only, not ResNet18": lambda: pictures.learner("resnet18"),
    "does not know the method Looks": lambda: float64([Looks()]),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_it_cannot_do_is_refused_in_one_line(why):
    with pytest.raises(ValueError, match="^engine: 'graph' is not allowed; [^\n]+$") as error:
        on_engine(REFUSED[why](), "graph")
    assert why in str(error.value)


def test_a_step_size_that_changes_and_unseen_classes_are_refused():
    with pytest.raises(ValueError, match="decay_epochs: the graph engine keeps one step size$"):
        GraphLearner([pictures.learner("small_cnn", decay_epochs=(1,))])
    seen = {"seen": np.array([True, False, True, True])}
    with pytest.raises(ValueError, match="classes that are not seen yet$"):
        GraphLearner([pictures.learner("small_cnn")]).members[0].on_privileges(seen)
    told = pictures.learner("small_cnn")
    told.on_privileges(seen)
    with pytest.raises(ValueError, match="classes that are not seen yet$"):
        GraphLearner([told])


@pytest.mark.parametrize("methods", ["dropout", "shrink-perturb"])
def test_what_draws_at_every_step_is_not_stacked(methods):
    with pytest.raises(ValueError, match="cannot be stacked$"):
        GraphLearner([float64(NOISY[methods]()) for _ in range(2)])


def test_members_out_of_step_are_refused():
    ahead, behind = float64(optimizer="adam"), float64(optimizer="adam", seed=1)
    ahead.update_many(stream(3))
    with pytest.raises(ValueError, match="^members: not after equally many updates"):
        GraphLearner([ahead, behind]).update_many([stream(1)] * 2)
    graph = GraphLearner([float64(), float64()])
    for chunks in ([stream(1)], [stream(1), stream(2)]):
        with pytest.raises(ValueError, match="give 2 of the same length$"):
            graph.update_many(chunks)


def test_auto_never_takes_it(monkeypatch):
    monkeypatch.setattr(support, "GRAPH_DEVICE", "cpu")
    assert on_engine(float64([Looks()]), "auto")[1] == "torch"
    made, name = on_engine(float64(), "graph")
    assert isinstance(made, Member) and name == "graph"


@pytest.mark.gpu
@NO_GPU
@pytest.mark.parametrize("seeds", [(0,), SEEDS])
@pytest.mark.parametrize("methods", METHODS)
def test_replaying_waits_for_nothing(methods, seeds):
    graph = GraphLearner([float64(METHODS[methods](), seed=seed, device="cuda") for seed in seeds])
    chunks = [stream(500, seed=seed) for seed in seeds]
    graph.update_many(chunks)
    update = graph._update
    update.feed.load([shown(chunk, INPUTS) for chunk in chunks])
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        update._run(500)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("enabled", [True, False])
def test_nothing_is_collected_while_an_update_is_recorded(enabled):
    """A recording that is freed within the capture of another would end it."""
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(KeyError), _uncollected():
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
