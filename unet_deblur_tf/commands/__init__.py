"""The command line: a module for each command, and the flags that several commands share."""
