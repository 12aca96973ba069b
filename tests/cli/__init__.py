"""Tests of the command line: the real `coffre`, in processes of its own, as people use it."""
