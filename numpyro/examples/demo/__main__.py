"""Run the demo: fit, report, and save the picture."""

from __future__ import annotations

import argparse
from pathlib import Path

import jax

from numpyro.examples.demo import baseball, eight_schools


def main() -> None:
    """Run both parts; where matplotlib is missing, say how to get it and leave out the picture."""
    parser = argparse.ArgumentParser(description="Fit eight schools and a season of baseball, and say what it means.")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder of the picture")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    schools_key, baseball_key = jax.random.split(jax.random.key(arguments.seed))
    schools = eight_schools.report(schools_key)
    players = baseball.report(baseball_key)

    try:
        from numpyro.examples.demo import picture
    except ImportError:
        print("\nNo picture, as matplotlib is not installed: pip install 'numpyro[plot]'")
        return
    path = arguments.output / "posterior.png"
    picture.save(schools, players, path)
    print(f"\nThe posterior, drawn: {path}")


if __name__ == "__main__":
    main()
