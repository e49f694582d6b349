"""The published remedies, one a file.

A method is a class whose keyword-only arguments are its hyperparameters, with any of `build(spec)`,
`attach(network)`, `wrap_optimizer(optimizer)`, `before_step(batch)`, `after_step(batch)`,
`on_task_switch()`, `state_dict()` and `load_state_dict(state)`. Gradients are in `.grad` before the
step; whole tensors may be changed after it. Arithmetic is over leading dimensions, so that members
stacked on axis 0 need no second version. Units are reached through the views of
`agents.network.Network` and reset by `reset_units`, so that a unit, a channel and a channel of a
residual stream are one thing.
"""
