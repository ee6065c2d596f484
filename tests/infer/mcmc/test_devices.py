"""Chains on several devices, of one process and of two: the same draws as one after another."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[3]

PROGRAM = """
import json, sys
import jax, numpy as np
import numpyro, numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS
from numpyro.infer.mcmc import StoreError

address, number, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if address:
    jax.distributed.initialize(address, num_processes=2, process_id=number)

def model(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)

y = np.ones(3, np.float32)

def draw(num_chains, method, go_on=False):
    mcmc = MCMC(NUTS(model), num_warmup=20, num_samples=15, num_chains=num_chains, chain_method=method,
                progress_bar=False)
    mcmc.run(jax.random.key(num_chains), y, extra_fields=("rng_key",) if go_on else ())
    draws = [np.asarray(mcmc.get_samples(group_by_chain=True)["mu"]).tolist()]
    if go_on:
        mcmc.post_warmup_state = mcmc.last_state
        mcmc.run(jax.random.key(1), y)
        draws.append(np.asarray(mcmc.get_samples(group_by_chain=True)["mu"]).tolist())
    return draws

def store():
    settings = dict(num_warmup=20, num_chains=5, progress_bar=False)
    MCMC(NUTS(model), num_samples=9, store=folder + "/run", **settings).run(jax.random.key(5), y)
    longer = MCMC.resume(folder + "/run", NUTS(model), y, num_samples=15, progress_bar=False)
    return [np.asarray(longer.get_samples(group_by_chain=True)["mu"]).tolist()]

def refusals():
    # What every process is told, where only one takes the lock, and where all read what is damaged.
    from pathlib import Path
    from numpyro.infer.mcmc.store.files import lock_folder
    told = []
    def attempt():
        try:
            MCMC.resume(folder + "/run", NUTS(model), y, num_samples=20, progress_bar=False)
        except StoreError as error:
            told.append(str(error))
    held = lock_folder(Path(folder) / "run") if number == 0 else None
    attempt()
    if number == 0:
        import os, shutil
        os.close(held)
        (Path(folder) / "run/posterior/draw/c/0").unlink()
    barrier()
    attempt()
    return told

def barrier():
    if address:
        from jax.experimental import multihost_utils
        multihost_utils.sync_global_devices("test")

result = {
    "devices": jax.device_count(),
    "few": draw(2, "parallel"), "many": draw(5, "parallel", go_on=True), "stored": store(),
    "refusals": refusals(),
}
if not address:
    result["expected_few"] = draw(2, "sequential")
    result["expected_many"] = draw(5, "sequential", go_on=True)
    result["expected_stored"] = result["expected_many"][:1]
print("RESULT" + json.dumps(result))
"""


def start(folder: Path, devices: int, address: str = "", number: int = 0) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    flags = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-W", "error::UserWarning", "-c", PROGRAM, address, str(number), str(folder)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process: subprocess.Popen) -> dict:
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return json.loads(output.split("RESULT")[1])


def test_chains_on_devices_of_one_process_and_of_two_walk_as_they_do_one_after_another(tmp_path):
    """Fewer chains than devices, and more; going on from the last state and from a store, too."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    one, *two = [
        result(process)
        for process in (
            start(tmp_path / "one", 3),
            start(tmp_path / "two", 2, address, 0),
            start(tmp_path / "two", 2, address, 1),
        )
    ]
    assert (one["devices"], two[0]["devices"]) == (3, 4)
    locked, damaged = "being written to by another run", "'posterior/draw/c/0' is missing"
    for found in (one, *two):
        first, second = found["refusals"]
        assert locked in first or (found is two[1] and "failed in process 0" in first)
        assert damaged in second
        for name in ("few", "many", "stored"):
            for draws, expected in zip(found[name], one[f"expected_{name}"], strict=True):
                assert np.shape(draws) == (2 if name == "few" else 5, 15)
                np.testing.assert_allclose(draws, expected, rtol=1e-4, atol=1e-5)
