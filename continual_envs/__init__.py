"""Never-ending task streams as Gymnasium environments, for measuring loss of plasticity."""

from continual_envs.control.copies import copies
from continual_envs.registration import register_control, register_problems, register_stream
from continual_envs.state import load_state_dict, state_dict

__version__ = "0.1.0"
__all__ = ["copies", "load_state_dict", "register_control", "register_stream", "state_dict"]

register_problems()
