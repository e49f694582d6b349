"""Networks that describe their hidden layers to the methods."""
