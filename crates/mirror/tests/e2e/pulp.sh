#!/usr/bin/env bash
# pulp.sh FOLDER PASSWORD: Pulp as a registry on a free port of loopback, with a PostgreSQL without any port and an nginx of its
# own. Prints the port when it answers, and ends when its standard input does. The user is admin.
set -euo pipefail
folder=$1 password=$2

# PostgreSQL does not run as root.
as_postgres() { if [ "$(id -u)" -eq 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi; }
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

pids=()
stop() {
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2>/dev/null || true; done
  for pid in ${pids[@]+"${pids[@]}"}; do wait "$pid" 2>/dev/null || true; done
  [ ! -e "$folder/pg/postmaster.pid" ] || as_postgres "$programs/pg_ctl" -D "$folder/pg" -m immediate -w stop >/dev/null || true
}
trap stop EXIT

programs=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
chmod 755 "$folder"
mkdir -p "$folder"/{media,files,nginx,pg,socket}
if [ "$(id -u)" -eq 0 ]; then chown postgres "$folder/pg" "$folder/socket"; fi
as_postgres "$programs/initdb" -D "$folder/pg" --username=postgres --auth=trust --no-sync --encoding=UTF8 --locale=C >/dev/null
as_postgres "$programs/pg_ctl" -D "$folder/pg" -w -l "$folder/pg/log" \
  -o "-c listen_addresses='' -c unix_socket_directories=$folder/socket -c fsync=off -c synchronous_commit=off" start >/dev/null
"$programs/psql" -q -h "$folder/socket" -U postgres -c 'CREATE DATABASE pulp'

api=$(free_port) content=$(free_port) port=$(free_port)
openssl ecparam -genkey -name prime256v1 -noout -out "$folder/private.pem" 2>/dev/null
openssl ec -in "$folder/private.pem" -pubout -out "$folder/public.pem" 2>/dev/null
openssl rand -base64 32 >"$folder/fields.key"
cat >"$folder/settings.py" <<END
SECRET_KEY = "only-for-tests"
DB_ENCRYPTION_KEY = "$folder/fields.key"
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "pulp", "USER": "postgres", "HOST": "$folder/socket"}}
DEPLOY_ROOT = "$folder"
MEDIA_ROOT = "$folder/media"
WORKING_DIRECTORY = "$folder/files"
FILE_UPLOAD_TEMP_DIR = "$folder/files"
CONTENT_ORIGIN = "http://127.0.0.1:$port"
TOKEN_SERVER = "http://127.0.0.1:$port/token/"
TOKEN_SIGNATURE_ALGORITHM = "ES256"
PUBLIC_KEY_PATH = "$folder/public.pem"
PRIVATE_KEY_PATH = "$folder/private.pem"
ENABLED_PLUGINS = ["pulp_file", "pulp_container"]
ANALYTICS = False
END
export PULP_SETTINGS="$folder/settings.py" DJANGO_SETTINGS_MODULE=pulpcore.app.settings

# What `pulpcore-manager migrate` and `reset-admin-password` do, in one process: Python's start takes most of their time.
python=$(dirname "$(readlink -f "$(command -v pulpcore-manager)")")/python
"$python" - "$password" >"$folder/migrate.log" 2>&1 <<'END' || { cat "$folder/migrate.log" >&2; exit 1; }
import gc
import sys

gc.disable()
import django

django.setup()
from django.core.management import call_command

call_command("migrate", interactive=False)
call_command("reset-admin-password", password=sys.argv[1])
END

# How Pulp's own documentation has it: nginx in front, with what the plugin says.
site=$("$python" -c 'import pulp_container, os; print(os.path.dirname(pulp_container.__file__))')
cat >"$folder/nginx/nginx.conf" <<END
daemon off;
worker_processes 1;
pid $folder/nginx/pid;
error_log $folder/nginx/error.log;
$([ "$(id -u)" -ne 0 ] || echo 'user root;')
events {}
http {
  access_log off;
  client_max_body_size 0;
  client_body_temp_path $folder/nginx/body;
  proxy_temp_path $folder/nginx/proxy;
  fastcgi_temp_path $folder/nginx/fastcgi;
  uwsgi_temp_path $folder/nginx/uwsgi;
  scgi_temp_path $folder/nginx/scgi;
  upstream pulp-api { server 127.0.0.1:$api; }
  upstream pulp-content { server 127.0.0.1:$content; }
  server {
    listen 127.0.0.1:$port;
    include $site/app/webserver_snippets/nginx.conf;
    location / {
      proxy_set_header Host \$http_host;
      proxy_pass http://pulp-api;
    }
  }
}
END
bin=$(dirname "$python")
nginx -p "$folder/nginx" -e "$folder/nginx/error.log" -c "$folder/nginx/nginx.conf" >&2 & pids+=($!)
"$bin/pulpcore-content" -b "127.0.0.1:$content" --workers 1 --no-control-socket >"$folder/content.log" 2>&1 & pids+=($!)
"$bin/pulpcore-api" -b "127.0.0.1:$api" --workers 2 --no-control-socket >"$folder/api.log" 2>&1 & pids+=($!)
answers() { [ "$(curl -s -o /dev/null -m 5 -w '%{http_code}' "$1")" = "$2" ]; }
for _ in $(seq 300); do
  if answers "http://127.0.0.1:$port/v2/" 401 && answers "http://127.0.0.1:$content/pulp/content/" 200; then
    echo "$port"
    # Until whoever started this ends or has had enough.
    read -r _ || true
    exit
  fi
  sleep 0.2
done
tail -n 20 "$folder"/*.log >&2
exit 1
