"""What `agents.testing` checks, one small function a promise."""
