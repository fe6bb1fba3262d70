"""Restores any number of files, on one machine or on many, with Apache Beam. Needs the extra `beam`."""
