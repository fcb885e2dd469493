"""One file for each kind of layer, and the merge."""
