"""From the relations of a model to a graph: nodes, edges, and plates within plates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def generate_graph_specification(model_relations: Mapping[str, Any], render_params: bool = False) -> dict[str, Any]:
    """Nodes, edges and plates of the graph of a model.

    :param model_relations: what :func:`~numpyro.infer.inspect.get_model_relations` returns.
    :param render_params: whether params are nodes, too.
    :return: a dictionary with

        - ``plate_groups``: the nodes of each plate, and under ``None`` those in no plate,
        - ``plate_data``: by plate its ``parent``, the smallest plate that it lies in, or ``None``,
        - ``node_data``: by node whether it ``is_observed``, and the name of its ``distribution``; a param has a
          ``constraint``, and ``None`` for a distribution,
        - ``edge_list``: pairs of nodes, the second of which depends on the first.
    """
    sample_sample, sample_param = model_relations["sample_sample"], model_relations["sample_param"]
    plate_groups: dict[str | None, list[str]] = {
        plate: list(names) for plate, names in model_relations["plate_sample"].items()
    }
    in_plates = {name for names in plate_groups.values() for name in names}
    plate_sample = model_relations["plate_sample"]
    plate_data = {plate: {"parent": _parent(plate, plate_sample)} for plate in plate_sample}
    plate_groups[None] = [name for name in sample_sample if name not in in_plates]
    node_data: dict[str, dict[str, Any]] = {
        name: {
            "is_observed": name in model_relations["observed"],
            "distribution": model_relations["sample_dist"][name],
        }
        for name in sample_sample
    }
    edges = [(source, target) for target, sources in sample_sample.items() for source in sources]
    if render_params:
        used = {param for params in sample_param.values() for param in params}
        for param, constraint in model_relations["param_constraint"].items():
            node_data[param] = {"is_observed": False, "constraint": constraint, "distribution": None}
            if param in used:
                plate_groups[None].append(param)
        edges += [(param, target) for target, params in sample_param.items() for param in params]
    return {"plate_groups": plate_groups, "plate_data": plate_data, "node_data": node_data, "edge_list": edges}


def _parent(plate: str, plate_sample: Mapping[str, list[str]]) -> str | None:
    """The smallest plate around; of plates with the same sites the first is around the others."""
    order = list(plate_sample)
    names = set(plate_sample[plate])
    around = [
        other
        for other in order
        if other != plate
        and names <= set(plate_sample[other])
        and (len(names) < len(plate_sample[other]) or order.index(other) < order.index(plate))
    ]
    return min(around, key=lambda other: (len(plate_sample[other]), -order.index(other)), default=None)
