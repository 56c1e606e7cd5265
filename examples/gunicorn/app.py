# What gunicorn serves; each new worker loads it anew.
import os


def app(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [os.environ['GREETING'].encode() + b'\n']
