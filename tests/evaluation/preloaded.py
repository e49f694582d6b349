"""Loads all that a run needs, for a server whose processes then start at once."""

import torch

from evaluation.life import Life
from tests.evaluation.helpers import cell

torch.set_num_threads(1)
Life(cell("continual-backprop"))
