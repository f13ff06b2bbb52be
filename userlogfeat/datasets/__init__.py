"""Data sets, one module each: how to make, find and split them."""
