"""Exports under the oldest TensorFlow that `versions.py` knows, which has all of them. Needs the package index."""

import pytest
import versions


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    folders = versions.small_models(folder)
    versions.reference(folders, folder / "given.npz")
    return folders, folder / "given.npz"


@pytest.mark.slow
@pytest.mark.parametrize("version", versions.VERSIONS[:1])
def test_exports_run_under(version, models):
    done = versions.check(version, *models)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count(version) == len(models[0])
