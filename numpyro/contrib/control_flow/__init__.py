"""Loops and branches inside models, with the sites of their bodies.

:func:`scan` repeats a body along a leading axis, :func:`cond` runs one of two. Both compile to the primitive of JAX of
the same name, and what they cost is what that costs; around it they do two things that JAX does not know of:

- the handlers around must act on the sites of the body, which they do not see while JAX traces it. Each handler says
  how: most enter the body as they are, those that hold values enter it with the values of one step
  (:meth:`numpyro.primitives.Messenger.in_body`), and those that look at finished sites (``trace``, ``scale``,
  ``mask``, handlers of users) stay outside;
- the sites must leave the body. What depends on the step goes out along a leading axis, the rest is known outside as
  it is; put together again they are ordinary sites, of batch shape ``(length, *batch_shape)``, and are sent to the
  handlers that stayed outside.

In reading order: ``step`` (where in which loop a body runs, and what values mean there), ``body`` (a body run under
its handlers, its sites recorded), ``leaves`` (the sites as arrays, stacked and put together), ``scan``, ``cond``.
"""

from numpyro.contrib.control_flow.cond import cond
from numpyro.contrib.control_flow.scan import scan

__all__ = ["cond", "scan"]
