"""Earlier names of two functions of `helpers.py`."""

from helpers import ROOT, run_script, run_script_here

run, run_here = run_script, run_script_here
__all__ = ["ROOT", "run", "run_here"]
