"""Times families in one environment: reads one request in JSON a line, prints one answer a line.

``python -m benchmarks.distributions_worker --library numpyro`` runs under this project and under a peer that shares
the interface, ``--library tfp`` under tensorflow-probability, ``--library scipy`` anywhere. The process stays for all
requests, so that the runner can let environments take turns without starting them anew.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.families import FAMILIES, Family

LEAST = 2e-2  # seconds of CPU time that the repetitions inside one measurement take


def fastest(call: Callable[[], Any], seconds: float) -> dict[str, float]:
    """CPU and wall seconds of a call, the minima over measurements that take ``seconds`` altogether."""
    call()
    repetitions, cpu, wall = 1, [], []
    while sum(cpu) * repetitions < seconds or len(cpu) < 2:
        start, start_wall = time.process_time(), time.perf_counter()
        for _ in range(repetitions):
            call()
        used, used_wall = time.process_time() - start, time.perf_counter() - start_wall
        if used < LEAST:
            repetitions = int(repetitions * min(max(1.3 * LEAST / max(used, 1e-6), 2), 100))
            cpu, wall = [], []
        else:
            cpu.append(used / repetitions)
            wall.append(used_wall / repetitions)
    return {"cpu": min(cpu), "wall": min(wall)}


def fingerprint(program: str) -> str:
    """A digest of an optimised program that does not depend on the names and places of its source."""
    program = re.sub(r", metadata=\{[^}]*\}", "", program[program.index("\n%") if "\n%" in program else 0 :])
    names: dict[str, str] = {}
    program = re.sub(r"%[\w.\-]+", lambda match: names.setdefault(match[0], f"%{len(names)}"), program)
    program = re.sub(r"\b(?!parameter)[a-z_][\w.\-]*(?=: )", "", program)
    return hashlib.sha256(program.encode()).hexdigest()[:16]


class JaxTimer:
    """Times the programs of a family under JAX."""

    def __init__(self, library: str) -> None:
        import jax
        import jax.numpy as jnp

        module = "numpyro.distributions" if library == "numpyro" else "tensorflow_probability.substrates.jax"
        self.jax, self.jnp, self.library = jax, jnp, library
        self.distributions: Any = importlib.import_module(module)
        if library == "tfp":
            self.distributions = self.distributions.distributions

    def versions(self) -> dict[str, str]:
        package = sys.modules[self.distributions.__name__.split(".")[0]]
        return {package.__name__: package.__version__, "jax": self.jax.__version__}

    def program(self, family: Family, what: str, size: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """The function to compile, and its arguments."""
        jax, jnp = self.jax, self.jnp
        build = family.numpyro if self.library == "numpyro" else family.tfp
        params, values = jax.device_put(family.arguments(size))
        shape = () if size == "scalar" else values.shape[:1]

        def log_prob(params: Any, values: Any) -> Any:
            return build(self.distributions, params).log_prob(values)

        def total(params: Any, values: Any) -> Any:
            return jnp.sum(log_prob(params, values))

        def draw(params: Any, key: Any) -> Any:
            d = build(self.distributions, params)
            return d.sample(key, shape) if self.library == "numpyro" else d.sample(shape, seed=key)

        if what == "log_prob":
            return log_prob, (params, values)
        if what == "gradient":
            return jax.grad(total, 0 if family.discrete else (0, 1)), (params, values)
        return draw, (params, jax.random.PRNGKey(3))

    def measure(self, name: str, what: str, size: str, seconds: float) -> dict[str, Any]:
        function, arguments = self.program(FAMILIES[name], what, size)
        self.jax.clear_caches()  # so that no earlier trace is of use
        start = time.process_time()
        program = self.jax.jit(function)
        compiled = program.lower(*arguments).compile()
        figures: dict[str, Any] = {"compile": time.process_time() - start, "program": fingerprint(compiled.as_text())}
        ready = self.jax.block_until_ready
        figures |= fastest(lambda: ready(program(*arguments)), seconds)
        if what != "sample":
            figures["check"] = _check(self.jax.tree.leaves(program(*arguments)))
        return figures


class ScipyTimer:
    """Times what scipy has: log densities and draws."""

    def __init__(self, library: str) -> None:
        import scipy

        self.stats = importlib.import_module("scipy.stats")
        self.version = scipy.__version__

    def versions(self) -> dict[str, str]:
        return {"scipy": self.version, "numpy": np.__version__}

    def measure(self, name: str, what: str, size: str, seconds: float) -> dict[str, float]:
        family = FAMILIES[name]
        params, values = family.arguments(size)
        frozen = family.scipy(self.stats, params)
        if frozen is None or what == "gradient":
            return {}
        if what == "sample":
            rng = np.random.default_rng(3)
            count = 1 if size == "scalar" else values.shape[0]
            return fastest(lambda: frozen.rvs(size=count, random_state=rng), seconds)
        log_prob = frozen.logpdf if hasattr(frozen, "logpdf") and not family.discrete else frozen.logpmf
        return fastest(lambda: log_prob(values), seconds) | {"check": _check([log_prob(values)])}


def _check(leaves: list[Any]) -> float:
    """A number in which the libraries must agree."""
    return float(sum(np.sum(np.abs(np.asarray(leaf, np.float64))) for leaf in leaves))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", choices=["numpyro", "tfp", "scipy"], required=True)
    options = parser.parse_args()
    answers, sys.stdout = sys.stdout, sys.stderr  # a library that prints does not disturb the answers
    timer: Any = ScipyTimer(options.library) if options.library == "scipy" else JaxTimer(options.library)
    print(json.dumps(timer.versions()), file=answers, flush=True)
    for line in sys.stdin:
        try:
            answer = timer.measure(**json.loads(line))
        except Exception as error:  # a family that a library lacks is an answer, not an end
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
