"""Adam whose two moments are averaged equally long."""

from __future__ import annotations

import torch

from continual_envs import checks


class EqualBetas:
    """Sets both betas of Adam to `beta`, so that no step is longer than the step size.

    After gradients near 0 a gradient G that stays moves a parameter by step_size * (1 - b1^k) /
    sqrt(1 - b2^k) in its k-th step: at the usual betas (0.9, 0.999) 3.2 step sizes at once and 6.5
    in the tenth; at equal betas never more than one. Source: Dohare et al. 2024, who call it tuned
    Adam and use it in every arm with a remedy; the idea is of Lyle et al. 2023 (arXiv 2303.01486).

    Args:
        beta: in [0, 1).
    """

    def __init__(self, *, beta: float = 0.99) -> None:
        self.beta = checks.number("beta", beta, 0, below=1)

    def wrap_optimizer(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Set the betas.

        Raises:
            ValueError: the optimizer has none.
        """
        for group in optimizer.param_groups:
            if "betas" not in group:
                name = type(optimizer).__name__
                raise ValueError(f"equal-betas: {name} has no betas; set optimizer to 'adam'")
            group["betas"] = (self.beta, self.beta)
        return optimizer
