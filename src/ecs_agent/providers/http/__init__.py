"""The way of a request over HTTP."""
