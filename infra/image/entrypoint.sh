#!/bin/sh
# Runs a command with secrets that files hold: where CDSAPI_KEY_FILE names a file, CDSAPI_KEY
# becomes its content (an empty file: stays unset). So they stand in no configuration of a
# container, and in no image.
set -eu

for name in AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY CDSAPI_KEY LSNTP_ALARM_WEBHOOK \
    PREFECT_API_AUTH_STRING PREFECT_SERVER_API_AUTH_STRING PREFECT_SERVER_DATABASE_PASSWORD; do
    eval "file=\${${name}_FILE:-}"
    if [ -n "$file" ]; then
        if [ ! -r "$file" ]; then
            echo "Expected a readable file at $file (${name}_FILE), found none; mount the secret" \
                "there, readable for user $(id -u), or unset ${name}_FILE." >&2
            exit 78
        fi
        value=$(cat "$file")
        if [ -n "$value" ]; then
            export "$name=$value"
        fi
        unset "${name}_FILE"
    fi
done

unset file name value
exec "$@"
