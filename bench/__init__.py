"""The benchmark: this gateway and its peers doing the same work, side by side (`make bench`)."""
