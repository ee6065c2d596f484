"""Programs: traced functions that can be compared, so that what is the same is compiled once.

A :class:`Program` is a function traced to a jaxpr with the arrays that it captured taken out as run-time arguments. Its
``key`` describes the computation itself: the primitives, their parameters, and the shapes and types that flow between
them. Two traces with equal keys compute the same function of their captured arrays and arguments, whoever traced them
and from whichever objects, so a compiled program may be reused by key: a second run, another ``MCMC`` object, new
data of the same shapes or a model defined once more in a notebook find it, while a changed closure, global or option
gives another key.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import jax
import numpy as np
from jax.extend import core as jex_core

from numpyro._typing import PyTree

# Rules of custom derivatives, which have been applied before a program is compared, or are not applied at all.
_DERIVATIVE_RULES = frozenset(
    {"jvp_jaxpr_fun", "jvp_jaxpr_thunk", "jvp", "fwd_jaxpr_thunk", "fwd", "bwd", "out_trees", "symbolic_zeros"}
)
_CUSTOM_DERIVATIVES = frozenset({"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"})


class _Identity:
    """An object that equals only itself; it is kept alive so that its ``id`` stays its own."""

    def __init__(self, wrapped: object) -> None:
        self.wrapped = wrapped

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.wrapped is other.wrapped

    def __hash__(self) -> int:
        return id(self.wrapped)


class _Fingerprint:
    """Feeds a jaxpr, piece by piece, to a hash; objects without a description count by identity."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=20)
        self._opaque: list[_Identity] = []

    def key(self) -> Hashable:
        return self._hash.digest(), tuple(self._opaque)

    def text(self, text: str) -> None:
        self._hash.update(text.encode())
        self._hash.update(b"\0")

    def value(self, value: Any) -> None:
        if isinstance(value, jax.core.Tracer):
            self._opaque.append(_Identity(value))
        elif isinstance(value, jex_core.ClosedJaxpr):
            self.jaxpr(value.jaxpr)
            self.value(list(value.consts))
        elif isinstance(value, jex_core.Jaxpr):
            self.jaxpr(value)
        elif isinstance(value, (np.ndarray, jax.Array)):
            if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
                value = jax.random.key_data(value)
            array = np.asarray(value)
            self.text(f"{array.dtype}{array.shape}")
            self._hash.update(array.tobytes())
        elif isinstance(value, (tuple, list)):
            self.text(f"{type(value).__name__}{len(value)}")
            for item in value:
                self.value(item)
        elif isinstance(value, dict):
            self.text(f"dict{len(value)}")
            for item in value.items():
                self.value(item)
        else:
            description = repr(value)
            if callable(value) or " at 0x" in description:
                self._opaque.append(_Identity(value))
            else:
                self.text(description)

    def jaxpr(self, jaxpr: Any) -> None:
        numbers: dict[Any, int] = {}

        def define(variables: Any) -> None:
            for variable in variables:
                numbers[variable] = len(numbers)
                self.text(str(variable.aval))

        def use(atoms: Any) -> None:
            for atom in atoms:
                if isinstance(atom, jex_core.Literal):
                    self.text(str(atom.aval))
                    self.value(np.asarray(atom.val) if not isinstance(atom.val, jax.core.Tracer) else atom.val)
                else:
                    self.text(str(numbers[atom]))

        define(jaxpr.constvars)
        define(jaxpr.invars)
        for equation in jaxpr.eqns:
            self.text(equation.primitive.name)
            skipped = _DERIVATIVE_RULES if equation.primitive.name in _CUSTOM_DERIVATIVES else frozenset()
            for name, value in equation.params.items():
                if name not in skipped:
                    self.text(name)
                    self.value(value)
            use(equation.invars)
            define(equation.outvars)
        self.text("returns")
        use(jaxpr.outvars)


class Program:
    """A function traced over ``example`` arguments.

    :param fn: a function of pytrees of arrays. It is traced once, here.
    :param example: pytrees of arrays or ``jax.ShapeDtypeStruct`` with the shapes and dtypes of the arguments.

    A program must not be differentiated: its ``key`` leaves the rules of custom derivatives out. Trace the derivative.
    """

    def __init__(self, fn: Callable[..., PyTree], *example: PyTree) -> None:
        closed, self.out_shape = jax.make_jaxpr(fn, return_shape=True)(*example)
        self._jaxpr = closed.jaxpr
        self.consts: tuple[Any, ...] = tuple(closed.consts)
        fingerprint = _Fingerprint()
        fingerprint.jaxpr(self._jaxpr)
        self._out_structure = jax.tree.structure(self.out_shape)
        self.key: Hashable = (fingerprint.key(), self._out_structure)

    def __call__(self, consts: tuple[Any, ...], *args: PyTree) -> PyTree:
        """Evaluate the program; inside a trace its operations become part of that trace."""
        leaves = jax.core.eval_jaxpr(self._jaxpr, consts, *jax.tree.leaves(args))
        return jax.tree.unflatten(self._out_structure, leaves)

    def largest_product(self) -> int:
        """The entries of the largest operand of a matrix product or convolution in the program; 0 without any."""
        return max((aval.size for aval in _operands(self._jaxpr, _PRODUCTS)), default=0)

    def largest_result(self) -> int:
        """The entries of the largest result of a matrix product or convolution in the program; 0 without any."""
        return max((aval.size for aval in _results(self._jaxpr, _PRODUCTS)), default=0)

    def largest_factor(self) -> int:
        """The rows of the largest matrix that the program factorises, or solves with; 0 without any."""
        return max((max(aval.shape[-2:], default=0) for aval in _operands(self._jaxpr, _FACTORS)), default=0)

    def key_with_values(self) -> Hashable:
        """The key of the program together with the values of its captured arrays, for one that keeps them."""
        fingerprint = _Fingerprint()
        fingerprint.value(list(self.consts))
        return self.key, fingerprint.key()

    def without_consts(self) -> Program:
        """The same program without its captured arrays, so that keeping it keeps none of them alive."""
        bare = object.__new__(Program)
        bare.__dict__.update(self.__dict__, consts=())
        return bare


_JAXPRS = (jex_core.ClosedJaxpr, jex_core.Jaxpr)


_PRODUCTS = frozenset({"dot_general", "conv_general_dilated"})
_FACTORS = frozenset({"cholesky", "triangular_solve", "lu", "eigh", "eig", "qr", "geqrf", "svd", "schur"})


def _operands(jaxpr: Any, primitives: frozenset[str]) -> Iterator[Any]:
    """The types of all operands of some primitives, at any depth."""
    return (atom.aval for equation in _equations(jaxpr, primitives) for atom in equation.invars)


def _results(jaxpr: Any, primitives: frozenset[str]) -> Iterator[Any]:
    """The types of all results of some primitives, at any depth."""
    return (variable.aval for equation in _equations(jaxpr, primitives) for variable in equation.outvars)


def _equations(jaxpr: Any, primitives: frozenset[str]) -> Iterator[Any]:
    """The applications of some primitives, at any depth."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in primitives:
            yield equation
        inner = jax.tree.leaves(list(equation.params.values()), is_leaf=lambda value: isinstance(value, _JAXPRS))
        for value in inner:
            if isinstance(value, _JAXPRS):
                yield from _equations(getattr(value, "jaxpr", value), primitives)


def is_traced(tree: PyTree) -> bool:
    """Whether any leaf is a tracer: the run is part of a user's ``jit``, ``vmap`` or ``grad``."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def in_jit() -> bool:
    """Whether operations are being recorded by a trace around us, even those on concrete values."""
    return isinstance(jax.device_put(np.int32(0)), jax.core.Tracer)


def jit(fn: Callable[..., PyTree], *, top_level: bool = True, small: bool = True) -> Callable[..., PyTree]:
    """``jax.jit`` with the options that suit programs of many small operations.

    On a CPU, XLA's older code generator for fusions compiles such programs in half the time, and they run as fast.

    :param top_level: the function is called outside of any trace; only there JAX takes options.
    :param small: the operations are on small arrays.
    """
    if top_level and small and jax.default_backend() == "cpu":
        return jax.jit(fn, compiler_options={"xla_cpu_use_fusion_emitters": False})
    return jax.jit(fn)


class ProgramCache:
    """Compiled programs by key, the least recently used given up beyond ``size``."""

    def __init__(self, size: int = 64) -> None:
        self.size = size
        self._entries: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, build: Callable[[], Any]) -> Any:
        """The entry of ``key``, made by ``build()`` where there is none."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        entry = build()
        with self._lock:
            self._entries[key] = entry
            while len(self._entries) > self.size:
                self._entries.popitem(last=False)
        return entry

    def clear(self) -> None:
        """Give up all entries."""
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


compiled_programs = ProgramCache()
"""The programs that inference has compiled in this process."""
