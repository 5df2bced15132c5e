"""Answers that are objects: schemas, validation, and objects while they arrive."""
