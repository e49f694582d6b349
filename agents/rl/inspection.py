"""What the measures read of the networks of an SB3 agent."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch

from agents.base import Array, Inspection
from agents.inspection import numpy
from agents.rl.hosts import Host


def inspect(policy: Any, hosts: Sequence[Host], observations: Array) -> Inspection:
    """Return what `Inspection` describes, in evaluation mode, of the online networks.

    The critic's layers come first, so that the last layer is the policy's. A critic that needs
    actions is given those that the policy thinks best. There is no loss, and so no gradients.
    Differs from Dohare et al. 2024 in: actor and critic are measured together.

    Args:
        policy: SB3's.
        hosts: what its optimizers train.
        observations: (n, d).
    """
    training = policy.training
    policy.set_training_mode(False)
    inputs, _ = policy.obs_to_tensor(observations)
    with ExitStack() as stack:
        heard = [stack.enter_context(host.listening()) for host in hosts]
        stack.enter_context(torch.enable_grad())  # features of other passes are not remembered
        actions = policy._predict(inputs, deterministic=True)
        if hasattr(policy, "critic"):
            policy.critic(inputs, actions)
        elif hasattr(policy, "predict_values"):
            policy.predict_values(inputs)
        hidden = [features[index] for features in heard for index in range(len(features))]
    policy.set_training_mode(training)
    parameters = [parameter for host in hosts for parameter in host.module.parameters()]
    initial = [value for host in hosts for value in host.initial.values()]
    return Inspection(
        features=[numpy(features) for features in hidden],
        weights=[numpy(parameter) for parameter in parameters if parameter.ndim > 1],
        parameters=[numpy(parameter) for parameter in parameters],
        initial_parameters=[numpy(value) for value in initial],
        gradients=[],
        active=[numpy((features != 0).double().mean(0)) for features in hidden],
    )
