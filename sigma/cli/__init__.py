"""The commands."""

from flask.cli import AppGroup

commands = AppGroup()
