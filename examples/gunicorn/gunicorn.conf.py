# The configuration of gunicorn; its directory, with the application, is watched.
bind = '0.0.0.0:8080'
chdir = '/etc/hello'
wsgi_app = 'app:app'
workers = 2
raw_env = ['GREETING=hello from gunicorn']
