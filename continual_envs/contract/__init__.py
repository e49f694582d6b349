"""What `continual_envs.testing` checks, one small function a promise."""
