"""The reference of plasticity: a network without a past at every task."""

from __future__ import annotations

from agents.network import Network


class Fresh:
    """Draws all parameters anew and clears the optimizer at every switch of task.

    Running statistics of a batch normalisation start anew too. Where a task's data include all that
    was seen before, this is the "retrained" network (of the published one for CIFAR-100 the
    optimizer goes on). It needs the boundary and always gets it; it is a reference arm and never
    ranked.
    """

    def attach(self, network: Network) -> None:
        """Take hold of the network."""
        self._network = network

    def on_task_switch(self) -> None:
        """Start over with the next draw of the initialiser."""
        assert self._network.restart is not None
        self._network.restart()
