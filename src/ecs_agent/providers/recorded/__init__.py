"""Requests and answers as data: recorded, and played again."""
