import pytest
import torch

from agents.optimizers import ElementwiseAdam, build


def parameters(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()
        for shape in ((5, 3), (5,), (2, 5))
    ]


def take(optimizer, leaves, steps, seed=1):
    """Step along random gradients, some of them tiny, some zero."""
    generator = torch.Generator().manual_seed(seed)
    for i in range(steps):
        for leaf in leaves:
            leaf.grad = torch.randn(leaf.shape, dtype=leaf.dtype, generator=generator)
            leaf.grad *= (1.0, 1e-6, 0.0)[i % 3]
        optimizer.step()


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.99, 0.99), (0.0, 0.5)])
def test_elementwise_adam_is_torchs_adam(betas):
    mine, theirs = parameters(), parameters()
    take(ElementwiseAdam(mine, lr=0.01, betas=betas), mine, 500)
    take(torch.optim.Adam(theirs, lr=0.01, betas=betas), theirs, 500)
    for first, second in zip(mine, theirs, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=1e-12)


def test_an_element_whose_state_is_cleared_starts_anew_and_others_do_not_notice():
    mine, untouched, young = parameters(), parameters(), parameters()
    optimizer = ElementwiseAdam(mine, lr=0.01)
    take(optimizer, mine, 50)
    other = ElementwiseAdam(untouched, lr=0.01)
    take(other, untouched, 50)
    for slot in optimizer.state[mine[0]].values():
        slot[2] = 0.0
    start = mine[0].detach().clone()
    take(optimizer, mine, 20, seed=2)
    take(other, untouched, 20, seed=2)
    assert torch.equal(mine[1], untouched[1]) and torch.equal(mine[2], untouched[2])
    keep = [0, 1, 3, 4]
    assert torch.equal(mine[0][keep], untouched[0][keep])
    with torch.no_grad():
        young[0].copy_(start)
    take(torch.optim.Adam(young, lr=0.01), young, 20, seed=2)
    torch.testing.assert_close(mine[0][2], young[0][2], rtol=0, atol=1e-13)
    assert optimizer.state[mine[0]]["steps"][:, 0].tolist() == [70, 70, 20, 70, 70]


def test_first_step_has_the_size_of_the_step_size():
    (leaf, *_) = parameters()
    before = leaf.detach().clone()
    leaf.grad = torch.full_like(leaf, -3.0)
    ElementwiseAdam([leaf], lr=0.01).step()
    torch.testing.assert_close(leaf.detach() - before, torch.full_like(leaf, 0.01))


def test_a_parameter_without_a_gradient_stays():
    (leaf, *_) = parameters()
    before = leaf.detach().clone()
    optimizer = ElementwiseAdam([leaf], lr=0.01)
    optimizer.step()
    assert torch.equal(leaf, before) and not optimizer.state


@pytest.mark.parametrize("equal", [False, True])
def test_a_jump_of_the_gradient_makes_a_big_step_unless_betas_are_equal(equal):
    """After a long quiet: (1 - b1) / sqrt(1 - b2) step sizes, 3.16 by default, 0.1 at 0.99."""
    leaf = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    betas = (0.99, 0.99) if equal else (0.9, 0.999)
    optimizer = build("adam", [leaf], step_size=1.0, momentum=0.0, betas=betas)
    for _ in range(10_000):
        leaf.grad = torch.full_like(leaf, 1e-30)
        optimizer.step()
    before = leaf.item()
    leaf.grad = torch.ones_like(leaf)
    optimizer.step()
    assert before - leaf.item() == pytest.approx(0.1 if equal else 3.16, rel=2e-3)


def test_build_gives_torchs_optimizers_with_their_settings():
    sgd = build("sgd", parameters(), step_size=0.2, momentum=0.5, betas=(0.9, 0.999))
    assert type(sgd) is torch.optim.SGD
    group = sgd.param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.2, 0.5, 0)
    adam = build("adam", parameters(), step_size=0.2, momentum=0.0, betas=[0.8, 0.9])
    assert type(adam) is torch.optim.Adam
    group = adam.param_groups[0]
    assert (group["lr"], tuple(group["betas"]), group["eps"]) == (0.2, (0.8, 0.9), 1e-8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "adma"}, "optimizer: 'adma' is not one of adam, sgd; nearest: adam"),
        ({"step_size": 0.0}, "step_size: 0.0 is not allowed; give a finite number above 0"),
        ({"step_size": float("nan")}, "step_size: nan is not allowed"),
        ({"step_size": "fast"}, "step_size: 'fast' is not allowed"),
        ({"momentum": 1.0}, "momentum: 1.0 is not allowed"),
        ({"momentum": -0.1}, "momentum: -0.1 is not allowed"),
        ({"name": "adam", "momentum": 0.9}, "momentum: 0.9 is not allowed with adam"),
        ({"betas": (0.9, 1.0)}, "betas: 1.0 is not allowed"),
        ({"betas": 0.9}, "betas: 0.9 is not allowed; give two numbers like [0.9, 0.999]"),
        ({"betas": (0.9,)}, "betas: (0.9,) is not allowed; give two numbers like [0.9, 0.999]"),
    ],
)
def test_bad_values_are_refused_in_one_line(changes, message):
    settings = {"name": "sgd", "step_size": 0.1, "momentum": 0.0, "betas": (0.9, 0.999)}
    with pytest.raises(ValueError) as error:
        build(parameters=parameters(), **(settings | changes))
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_elementwise_adam_takes_epsilon_and_a_step_size_that_changes():
    mine, theirs = parameters(), parameters()
    for kind, leaves in ((ElementwiseAdam, mine), (torch.optim.Adam, theirs)):
        optimizer = kind(leaves, lr=0.01, eps=1e-3)
        take(optimizer, leaves, 20)
        optimizer.param_groups[0]["lr"] = 0.002
        take(optimizer, leaves, 20)
    for first, second in zip(mine, theirs, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=1e-12)
