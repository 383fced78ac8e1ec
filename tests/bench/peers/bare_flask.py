"""The measure of all things here: a Flask application with one route that returns a small dict."""

from flask import Flask


def create_app():
    app = Flask(__name__)

    @app.get("/records/<id>")
    def get_record(id):
        return {"id": id, "name": "Rain Hat", "stock": 12}

    return app
