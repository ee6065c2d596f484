"""Steps of variational inference beside a bare jitted optax loop and NumPyro: ``python -m benchmarks.svi``.

Workers live on and take turns. The time of a step is the difference between a long run and a short one over the
difference of their steps, so that tracing and compiling, which NumPyro does in each run, drop out; the time of a
repeated run of 1000 steps has them in it. Figures are minima over rounds of process-CPU time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CASES = ("logistic", "vae", "iaf")
STEPS = {"logistic": 20_000, "vae": 1500, "iaf": 10_000}
ROOT = Path(__file__).parent.parent


def runner(library: str, case: str) -> Callable[[int], float]:
    """A function that makes a number of steps and returns the mean of the last losses."""
    import jax
    import numpy as np

    from benchmarks import svi_models

    if library != "bare":
        svi, arguments = svi_models.shared(case)
        return lambda steps: float(
            np.mean(np.asarray(svi.run(jax.random.PRNGKey(0), steps, *arguments, progress_bar=False).losses)[-100:])
        )

    import optax

    loss, params, arguments = svi_models.bare(case)
    optimizer = optax.adam(svi_models.STEP_SIZE)

    def steps_from(state: Any, data: tuple, steps: int) -> Any:
        def step(state: Any, _: None) -> Any:
            params, inner, key = state
            key, step_key = jax.random.split(key)
            value, gradient = jax.value_and_grad(loss)(params, step_key, *data)
            updates, inner = optimizer.update(gradient, inner, params)
            return (optax.apply_updates(params, updates), inner, key), value

        return jax.lax.scan(step, state, None, length=steps)

    compiled = jax.jit(steps_from, static_argnums=2)

    def run(steps: int) -> float:
        state = (jax.tree.map(jax.numpy.asarray, params), optimizer.init(params), jax.random.PRNGKey(0))
        return float(np.mean(np.asarray(compiled(state, arguments, steps)[1])[-100:]))

    return run


def work(library: str) -> None:
    """Answer requests, one line of JSON each."""
    runners: dict[str, Callable[[int], float]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        case = request["case"]
        if case not in runners:
            runners[case] = runner(library, case)
        cpu, wall = time.process_time(), time.perf_counter()
        loss = runners[case](request["steps"])
        print(
            json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "loss": loss}), flush=True
        )


class Worker:
    """A process of one library."""

    def __init__(self, python: str, library: str) -> None:
        path = str(ROOT)
        if library == "numpyro":  # the benchmarks, but not the package beside them
            import tempfile

            path = tempfile.mkdtemp()
            (Path(path) / "benchmarks").symlink_to(ROOT / "benchmarks")
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.svi", "--worker", library],
            **{"env": environment, "cwd": path, "text": True, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE},
        )

    def ask(self, case: str, steps: int) -> dict[str, float]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"case": case, "steps": steps}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker ended: {self.process.args}")
        return json.loads(line)


def measure(workers: dict[str, Worker], case: str, rounds: int) -> dict[str, dict[str, float]]:
    """By library: CPU and wall time of a step, of a repeated run of 1000 steps, and the last losses."""
    short, long = STEPS[case], 3 * STEPS[case]
    for worker in workers.values():
        worker.ask(case, short), worker.ask(case, long), worker.ask(case, 1000)
    found: dict[str, dict[str, list[float]]] = {name: {} for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            for label, steps in (("short", short), ("long", long), ("repeated", 1000)):
                answer = worker.ask(case, steps)
                for clock in ("cpu", "wall"):
                    found[name].setdefault(f"{label} {clock}", []).append(answer[clock])
                if label == "long":
                    found[name]["loss"] = [answer["loss"]]
    return {
        name: _summary({key: min(values) for key, values in all_.items()}, long - short) for name, all_ in found.items()
    }


def _summary(least: dict[str, float], steps: int) -> dict[str, float]:
    summary = {f"step {clock}": (least[f"long {clock}"] - least[f"short {clock}"]) / steps for clock in ("cpu", "wall")}
    return summary | {key: least[key] for key in ("repeated cpu", "repeated wall", "loss")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--peers", nargs="*", default=[], metavar="numpyro=ENV", help="an environment with NumPyro")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--repeat", type=int, default=5, help="rounds, 5 by default")
    options = parser.parse_args()
    if options.worker:
        work(options.worker)
        return
    workers = {"this project": Worker(sys.executable, "this project"), "bare": Worker(sys.executable, "bare")}
    for peer in options.peers:
        name, _, folder = peer.partition("=")
        workers[name] = Worker(str(Path(folder) / "bin" / "python"), "numpyro")
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for case in options.cases:
        found = measure(workers, case, options.repeat)
        ours = found["this project"]
        for name, figures in found.items():
            cpu, wall = figures["step cpu"], figures["step wall"]
            print(
                f"{case:9s} {name:13s} step {cpu * 1e6:8.2f} us CPU, {wall * 1e6:8.2f} us wall; "
                f"ours / this {ours['step cpu'] / cpu:.2f} CPU, {ours['step wall'] / wall:.2f} wall; "
                f"1000 steps again {figures['repeated cpu'] * 1e3:7.0f} ms; loss {figures['loss']:.2f}",
                flush=True,
            )
    for worker in workers.values():
        worker.process.stdin.close()  # type: ignore[union-attr]
        worker.process.wait()


if __name__ == "__main__":
    main()
