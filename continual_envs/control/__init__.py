"""Reinforcement learning in bodies whose physics or sensors drift."""
