"""The runtime's pages: everything an operator does with compositions, for a browser.

Pages are rendered here, work without scripts, and come alive with htmx: a part of a page names the changes that concern
it, a stream of server-sent events says what has changed, and the part asks for itself anew. No page holds a rule of
compositions; what may be ordered and what was refused, the :class:`~mizzen.acm.runtime.service.Service` says.
"""
