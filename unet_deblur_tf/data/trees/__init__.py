"""Pairs that are there: what a folder of pictures holds, by the layouts that the field uses."""
