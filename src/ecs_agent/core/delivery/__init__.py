"""How events reach those who want them: the handlers and streams behind the event bus, each with a bounded line of its own."""
